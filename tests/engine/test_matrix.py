"""Combinations of store modes, credential sources, profiles and major versions.

A preview takes seconds. The CLI runs rows with every choice, the program alone runs rows with every pair of choices,
and the checks run the cross product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any, Protocol

import pytest

from components.application.extra_env import names
from components.settings.clusters import CLUSTERS
from components.settings.load import parse
from tests.engine.matrix import (
    COUNTED,
    FACTORS,
    Row,
    all_rows,
    choices,
    combined,
    config,
    few_rows,
    in_every_cluster,
    small,
)
from tests.engine.stacks import StackFactory
from tests.unit.application.test_environment import NOT_THE_APPLICATIONS_OWN
from tests.unit.program import run

EACH, PAIRS = few_rows(together=1), few_rows(together=2)


class Resource(Protocol):
    """A resource of a row, from a preview or from a recording."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...


def title(part: Row | str) -> str:
    return part if isinstance(part, str) else "-".join(part)


def kind(resource: Resource) -> str:
    return resource.type.rpartition(":")[2]


def of_kind(resources: Sequence[Resource], wanted: str) -> list[Resource]:
    """The resources of a kind, without components."""
    return [item for item in resources if kind(item) == wanted and not item.type.startswith("langfuse:")]


def variables(resources: Sequence[Resource], program: str) -> set[str]:
    (found,) = (item for item in of_kind(resources, "Deployment") if item.name == f"langfuse-{program}")
    (container,) = found.inputs["spec"]["template"]["spec"]["containers"]
    return {item["name"] for item in container["env"]}


def assert_matches(row: Row, resources: Sequence[Resource]) -> None:
    named = dict(zip(FACTORS, row, strict=True))
    sets = {item.name: item.inputs["spec"]["replicas"] for item in of_kind(resources, "StatefulSet")}
    assert sets == {f"langfuse-{name}": count for choice in choices(row) for name, count in choice.sets.items()}
    kinds = Counter(kind(item) for item in resources if not item.type.startswith("langfuse:"))
    expected = Counter({name: count for choice in choices(row) for name, count in choice.kinds.items()})
    assert {name: kinds[name] for name in COUNTED} == {name: expected[name] for name in COUNTED}
    # The id of an access key is generated for a managed store, whatever the source.
    assert bool(kinds["RandomPassword"]) == (named["credentials"] == "generated")
    assert bool(kinds["ExternalSecret"]) == (named["credentials"] == "external-secrets")
    for program in ("web", "worker"):
        assert variables(resources, program) - names(named["version"], program) - NOT_THE_APPLICATIONS_OWN == set()


def test_the_rows_contain_every_choice_and_every_pair() -> None:
    assert {(factor, name) for row in EACH for factor, name in zip(FACTORS, row, strict=True)} == {
        (factor, name) for factor, names in FACTORS.items() for name in names
    }
    covered = set().union(*(combined(row, 2) for row in PAIRS))
    for (one, of_one), (other, of_other) in combinations(FACTORS.items(), 2):
        for pair in product(of_one, of_other):
            assert tuple(zip((one, other), pair, strict=True)) in covered
    assert len(EACH) < 6
    assert len(PAIRS) < 30


def test_every_kind_of_cluster_is_previewed() -> None:
    for rows in (EACH, PAIRS):
        tried = in_every_cluster(rows)
        assert {row for row, _ in tried} == set(rows)
        assert {cluster for _, cluster in tried} == set(CLUSTERS)


def test_the_checks_accept_the_cross_product() -> None:
    for row in all_rows():
        settings = parse("matrix", config(row))
        assert (settings.profile, settings.version) == row[:2]


@pytest.mark.long
@pytest.mark.parametrize(("row", "cluster"), in_every_cluster(PAIRS), ids=title)
def test_the_program_registers_the_resources_of_a_row(row: Row, cluster: str) -> None:
    assert_matches(row, run("matrix", config(row, cluster)).resources)


def test_a_small_stack_has_resources_of_every_type() -> None:
    row = ("dev", "4.82.0", "managed", "one", "managed", "one", "generated", "istio")
    few = small("managed", credentials="generated", ingress="istio")
    given = {key.removeprefix("langfuse:"): value for key, value in few.items()}
    whole, part = run("matrix", config(row)).resources, run("matrix", given).resources
    assert {item.type for item in whole} - {item.type for item in part} == {"langfuse:index:Keeper"}
    assert len(part) < 0.65 * len(whole)


@pytest.mark.sandbox
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "cluster"), in_every_cluster(EACH), ids=title)
def test_a_preview_shows_the_resources_of_a_row(nowhere: StackFactory, row: Row, cluster: str) -> None:
    stack = nowhere("matrix", {f"langfuse:{key}": value for key, value in config(row, cluster).items()})

    result = stack.preview().ok()

    assert {step.op for step in result.steps} == {"create"}
    # No StorageClass is right for the drills of every cluster, so prod has to name one.
    named = [text for text in result.messages("warning", "error") if "backups.drillStorageClass" not in text]
    assert named == []
    assert result.stderr == ""
    assert_matches(row, result.steps)
