"""Every rule finds its faults, and nothing else, in manifests with exactly one fault."""

import pytest
from langfuse_policies.catalogue import RULES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged

from tests.policies.corpus import Case, cases

_of_resources: dict[int, set[str]] = {}
"""What rules on single resources find, by the identity of a resource: cases share those of their base."""


def found(case: Case) -> set[str]:
    stack_rules = {rule.id for rule in RULES.values() if rule.scope == "stack" and judged(rule, case.resources)}
    return stack_rules.union(*map(_found_by_itself, case.resources))


def _found_by_itself(resource: Resource) -> set[str]:
    if id(resource) not in _of_resources:
        rules = (rule for rule in RULES.values() if rule.scope == "resource")
        _of_resources[id(resource)] = {rule.id for rule in rules if judged(rule, resource)}
    return _of_resources[id(resource)]


def _named(case: Case) -> str:
    return f"{case.rule}: {case.name}"


@pytest.mark.parametrize("case", [case for case in cases() if case.bad], ids=_named)
def test_a_fault_is_found_by_its_rule_alone(case: Case) -> None:
    assert found(case) == {case.rule, *case.also}


@pytest.mark.parametrize("case", [case for case in cases() if not case.bad], ids=_named)
def test_what_is_good_passes_every_rule(case: Case) -> None:
    assert found(case) == set()


@pytest.mark.parametrize("rule", RULES)
def test_the_corpus_has_two_bad_cases_and_a_good_one_for_every_rule(rule: str) -> None:
    kinds = [case.bad for case in cases() if case.rule == rule]
    assert kinds.count(True) >= 2
    assert kinds.count(False) >= 1


def test_the_corpus_is_about_rules_that_exist() -> None:
    assert {case.rule for case in cases()} <= set(RULES)
