"""Every store mode, credential source, profile and major version, in combination.

A preview takes seconds, so the CLI is given rows that hold every pair of choices; the rules see the full cross product.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations, product

import pytest

from components.settings import parse
from tests.engine.harness import CHECKOUT, Result, Step
from tests.engine.matrix import COUNTED, FACTORS, Row, all_rows, choices, config, pairs, pairwise
from tests.engine.stack_fixtures import StackFactory
from tests.unit.test_environment import NOT_THE_APPLICATIONS_OWN

ROWS = pairwise()


def kind(step: Step) -> str:
    return step.type.rpartition(":")[2]


def of_kind(result: Result, wanted: str) -> list[Step]:
    """The resources of a kind that a preview would make, components left out."""
    return [step for step in result.steps if kind(step) == wanted and not step.type.startswith("langfuse:")]


def variables(result: Result, program: str) -> set[str]:
    (step,) = (step for step in of_kind(result, "Deployment") if step.name == f"langfuse-{program}")
    (container,) = step.inputs["spec"]["template"]["spec"]["containers"]
    return {item["name"] for item in container["env"]}


def read(version: str, program: str) -> set[str]:
    """The variables that a program of a release reads."""
    names = json.loads((CHECKOUT / "tests/unit/data" / f"langfuse-env-{version}.json").read_text())["names"]
    return {name for part, found in names.items() if program in part or part == "shared" for name in found}


def test_the_rows_hold_every_pair_of_choices() -> None:
    covered = set().union(*map(pairs, ROWS))
    for (one, of_one), (other, of_other) in combinations(FACTORS.items(), 2):
        for pair in product(of_one, of_other):
            assert tuple(zip((one, other), pair, strict=True)) in covered
    assert len(ROWS) < 25


def test_the_rules_accept_the_full_cross_product() -> None:
    for row in all_rows():
        settings = parse("matrix", config(row))
        assert (settings.profile, settings.version) == row[:2]


@pytest.mark.sandbox
@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_preview(nowhere: StackFactory, row: Row) -> None:
    stack = nowhere("matrix", {f"langfuse:{key}": value for key, value in config(row).items()})
    named = dict(zip(FACTORS, row, strict=True))

    result = stack.preview().ok()

    assert {step.op for step in result.steps} == {"create"}
    assert result.messages("warning", "error") == []
    assert result.stderr == ""
    sets = {step.name: step.inputs["spec"]["replicas"] for step in of_kind(result, "StatefulSet")}
    assert sets == {f"langfuse-{name}": count for choice in choices(row) for name, count in choice.sets.items()}
    kinds = Counter(kind(step) for step in result.steps if not step.type.startswith("langfuse:"))
    expected = Counter({name: count for choice in choices(row) for name, count in choice.kinds.items()})
    assert {name: kinds[name] for name in COUNTED} == {name: expected[name] for name in COUNTED}
    # An access key's id is a name that a store of ours is given, whatever the source.
    assert bool(kinds["RandomPassword"]) == (named["credentials"] == "generated")
    assert bool(kinds["ExternalSecret"]) == (named["credentials"] == "external-secrets")
    for program in ("web", "worker"):
        assert variables(result, program) - read(named["version"], program) - NOT_THE_APPLICATIONS_OWN == set()
