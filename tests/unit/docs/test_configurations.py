"""Configurations that pages quote are valid, and the objects that their `kubectl` commands name are in a stack."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from components.schema.application import WorkloadName
from components.schema.environment import PROJECT
from components.settings.load import SettingsError, parse
from tests.unit.configuration import HOST
from tools.docs.generated import ROOT

PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
PLACEHOLDER = re.compile(r"\.\.\.|\bPROJECT\b")


def configurations(page: Path) -> Iterator[dict[str, Any]]:
    """The keys of the project in each block of YAML that has some."""
    for block in re.findall(r"^ *```ya?ml\n(.*?)^ *```", page.read_text(), re.M | re.S):
        loaded = yaml.safe_load(textwrap.dedent(block))
        keys = loaded.get("config", loaded) if isinstance(loaded, dict) else {}
        if found := {key: value for key, value in keys.items() if str(key).startswith(f"{PROJECT}:")}:
            yield {key.removeprefix(f"{PROJECT}:"): value for key, value in found.items()}


QUOTED = [(page, found) for page in PAGES for found in configurations(page) if not PLACEHOLDER.search(str(found))]


def test_every_configuration_of_a_page_is_valid() -> None:
    assert len(QUOTED) > 20, "none was found"
    for page, found in QUOTED:
        host = {} if "publicUrl" in str(found) else {"host": HOST}
        try:
            parse("staging", {**host, **found})
        except SettingsError as error:
            pytest.fail(f"{page.relative_to(ROOT)}: {error}")


def test_every_workload_that_a_command_names_exists() -> None:
    kinds = r"\b(?:(?:cron)?job|deployments?|statefulset)[/ ]"
    for page in PAGES:
        for name in re.findall(rf"{kinds}langfuse-([a-z-]*[a-z])(?![\w-])", page.read_text()):
            assert name in get_args(WorkloadName), page.relative_to(ROOT)
