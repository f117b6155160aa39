"""The golden files cover every profile and every mode of every store, and are the same in every run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from components.schema.environment import Settings
from components.settings.profiles import PROFILES
from tests import golden
from tests.unit.configuration import settings

CHECKOUT = Path(__file__).parents[2]
STORES = {"postgres", "clickhouse", "redis", "object_store"}


def modes() -> Iterator[tuple[str, str]]:
    """Every store with each of its modes."""
    for name, field in Settings.model_fields.items():
        if field.discriminator == "mode":
            for model in get_args(field.annotation):
                yield from ((name, mode) for mode in get_args(model.model_fields["mode"].annotation))


@pytest.fixture(scope="module")
def stacks() -> list[Settings]:
    return [settings(config, stack) for _, stack, config in golden.stacks()]


def test_every_store_mode_is_in_a_stack(stacks: list[Settings]) -> None:
    expected = set(modes())
    assert {store for store, _ in expected} == STORES
    assert {(store, getattr(stack, store).mode) for stack in stacks for store in STORES} == expected


def test_every_profile_is_a_stack() -> None:
    assert {f"profile-{profile}" for profile in PROFILES} <= {name for name, *_ in golden.stacks()}


def test_every_stack_has_its_own_file() -> None:
    names = [name for name, *_ in golden.stacks()]
    assert len(set(names)) == len(names)


def test_two_runs_write_the_same_file(tmp_path: Path) -> None:
    """The second run is a process of its own, whose sets have another order."""
    name = "profile-dev"
    golden.write(tmp_path / "one", [name])
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-m", "tests.golden", str(tmp_path / "other"), name]
    subprocess.run(command, cwd=CHECKOUT, env=environment, check=True)
    one, other = ((tmp_path / folder / f"{name}.json").read_text() for folder in ("one", "other"))
    assert one == other
