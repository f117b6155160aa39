"""Every policy finds its faults, and nothing else, in manifests with exactly one fault."""

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged

from tests.policies.corpus import Case, cases
from tests.sampling import sample

_of_resources: dict[int, set[str]] = {}
"""What policies on single resources find, by the identity of a resource: cases share those of their base."""


def found(case: Case) -> set[str]:
    """The ids of policies that find something: of the case's own, a sample of those on stacks, and all others."""
    own = {case.policy, *case.also}
    on_stacks = [policy for policy in POLICIES.values() if policy.scope == "stack"]
    others = sample((policy for policy in on_stacks if policy.id not in own), f"{case.policy} {case.name}")
    judging = [*(policy for policy in on_stacks if policy.id in own), *others]
    of_stack = {policy.id for policy in judging if judged(policy, case.resources)}
    return of_stack.union(*map(_found_by_itself, case.resources))


def _found_by_itself(resource: Resource) -> set[str]:
    if id(resource) not in _of_resources:
        policies = (policy for policy in POLICIES.values() if policy.scope == "resource")
        _of_resources[id(resource)] = {policy.id for policy in policies if judged(policy, resource)}
    return _of_resources[id(resource)]


def _named(case: Case) -> str:
    return f"{case.policy}: {case.name}"


@pytest.mark.parametrize("case", [case for case in cases() if case.bad], ids=_named)
def test_a_fault_is_found_by_its_policy_alone(case: Case) -> None:
    assert found(case) == {case.policy, *case.also}


@pytest.mark.parametrize("case", [case for case in cases() if not case.bad], ids=_named)
def test_what_is_good_passes_every_policy(case: Case) -> None:
    assert found(case) == set()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_corpus_has_two_bad_cases_and_a_good_one_for_every_policy(policy: str) -> None:
    kinds = [case.bad for case in cases() if case.policy == policy]
    assert kinds.count(True) >= 2
    assert kinds.count(False) >= 1


def test_the_corpus_is_about_policies_that_exist() -> None:
    assert {case.policy for case in cases()} <= set(POLICIES)
