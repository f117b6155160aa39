"""What holds of every policy, whatever it checks: it is total, it keeps secrets, it loses nothing silently."""

import copy
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.fields import UNKNOWN, plain
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import POD_TEMPLATES
from langfuse_policies.testing import judged, resource, token_of, unknown_paths

from tests.policies.corpus import Case, cases, texts
from tests.sampling import sample

SECRET = "Zx9!kQ/7v+Lm2#pR"  # noqa: S105  # what no report may show

#: Words that policies look for, so that arbitrary shapes get past their first condition.
WORDS = sorted({word for text in texts() for word in re.findall(r"[\w./-]+", text)})
SCALARS = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8), st.sampled_from(WORDS), st.just(UNKNOWN)
)
SHAPES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


def _parts(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of everything below a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in entries:
        yield (*path, key)
        yield from _parts(child, (*path, key))


def _with(value: object, path: tuple[str | int, ...], replacement: object) -> object:
    changed: Any = copy.copy(value)
    changed[path[0]] = replacement if len(path) == 1 else _with(changed[path[0]], path[1:], replacement)
    return changed


def _replaced(subject: Resource, path: tuple[str | int, ...], replacement: object) -> Resource:
    props: Any = _with(subject.props, path, replacement)
    return dataclasses.replace(subject, props=props)


def _bad_cases(scope: str) -> list[Case]:
    return [case for case in cases() if case.bad and POLICIES[case.policy].scope == scope]


def _one_case_for_each_policy(scope: str) -> list[Case]:
    return list({case.policy: case for case in _bad_cases(scope)}.values())


def _faulty(case: Case) -> list[Resource]:
    policy = POLICIES[case.policy]
    return [one for one in case.resources if judged(policy, one)]


def test_each_policy_explains_itself() -> None:
    for policy in POLICIES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", policy.id), policy.id
        assert len({policy.title, policy.why, policy.fix}) == 3
        assert policy.why.endswith("."), policy.id
        assert policy.fix.endswith("."), policy.id
        assert not policy.title.endswith("."), policy.id


KINDS = sorted({kind for policy in POLICIES.values() for kind in policy.kinds})


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(shape=SHAPES)
@pytest.mark.long
def test_no_policy_raises_on_any_shape(kind: str, shape: object) -> None:
    subject = _of_kind(kind, shape)
    for policy in POLICIES.values():
        if policy.scope == "resource" and policy.reads(subject):
            judged(policy, subject)


@settings(max_examples=200, deadline=None)
@given(shapes=st.lists(st.tuples(st.sampled_from(KINDS), SHAPES), min_size=1, max_size=5))
def test_no_policy_raises_on_a_stack_of_any_shapes(shapes: list[tuple[str, object]]) -> None:
    stack = [_of_kind(kind, shape) for kind, shape in shapes]
    for policy in POLICIES.values():
        if policy.scope == "stack":
            judged(policy, stack)


def _of_kind(kind: str, shape: object) -> Resource:
    token = token_of(kind)
    return Resource(token, "any", plain(shape), f"urn:pulumi:s::p::{token}::any")


@pytest.mark.long
@pytest.mark.parametrize("case", _one_case_for_each_policy("resource"), ids=lambda case: f"{case.policy}: {case.name}")
def test_one_wrong_field_anywhere_raises_nothing(case: Case) -> None:
    policy = POLICIES[case.policy]
    for subject in _faulty(case):
        for path in sample(_parts(subject.props), f"{case.name} {subject.urn}"):
            replacement: object
            for replacement in (None, UNKNOWN, 3.0, "text", ["text"], [{}], {"text": {}}):
                judged(policy, _replaced(subject, path, replacement))


@pytest.mark.parametrize("case", _bad_cases("resource"), ids=lambda case: f"{case.policy}: {case.name}")
def test_what_is_unknown_is_judged_or_noted(case: Case) -> None:
    policy = POLICIES[case.policy]
    for subject in _faulty(case):
        before = len(judged(policy, subject))
        for path in _parts(subject.props):
            changed = _replaced(subject, path, UNKNOWN)
            noted = unknown_paths(policy, changed)
            assert noted or len(judged(policy, changed)) >= before, f"{path} is unknown: the finding is lost silently"


@pytest.mark.parametrize("case", _one_case_for_each_policy("stack"), ids=lambda case: f"{case.policy}: {case.name}")
def test_unknown_objects_of_a_stack_raise_nothing(case: Case) -> None:
    policy, resources = POLICIES[case.policy], case.resources
    for index, subject in sample(enumerate(resources), case.name):
        for key in ("metadata", "spec", "data"):
            if isinstance(subject.props, dict) and key in subject.props:
                changed = [*resources]
                changed[index] = _replaced(subject, (key,), UNKNOWN)
                policy.on(Stack(changed))


@pytest.mark.parametrize(
    "case",
    [*_one_case_for_each_policy("resource"), *_one_case_for_each_policy("stack")],
    ids=lambda case: f"{case.policy}: {case.name}",
)
def test_no_finding_shows_a_value(case: Case) -> None:
    policy, resources = POLICIES[case.policy], case.resources
    at_fault = {finding.urn or subject.urn for subject in resources for finding in judged(policy, subject)}
    if policy.scope == "stack":
        at_fault = {finding.urn for finding in judged(policy, resources)}
    elsewhere = sample((subject.urn for subject in resources if subject.urn not in at_fault), case.name)
    for index, subject in enumerate(resources):
        # Each part by itself where a fault is; elsewhere all texts at once, or a large stack takes minutes.
        if subject.urn in at_fault:
            changes = [[part] for part in sample(_parts(subject.props), f"{case.name} {subject.urn}")]
        else:
            changes = [_texts(subject.props)] if subject.urn in elsewhere else []
        for paths in changes:
            changed = subject
            for path in paths:
                changed = _replaced(changed, path, SECRET)
            judge = [changed] if policy.scope == "resource" else [*resources[:index], changed, *resources[index + 1 :]]
            assert not any(SECRET in finding.message for finding in judged(policy, judge))


def _texts(props: object) -> list[tuple[str | int, ...]]:
    """The paths of texts, but for the names and kinds by which objects are found."""
    found = []
    for path in _parts(props):
        value: Any = props
        for step in path:
            value = value[step]
        if isinstance(value, str) and path[-1] not in {"name", "namespace", "kind", "apiVersion"}:
            found.append(path)
    return found


def _template(case: Case) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The faulty pod template of a case, and the object that it stands in."""
    for subject in _faulty(case):
        if subject.kind == "apps/Deployment" and isinstance(subject.props, dict):
            return subject.props["spec"]["template"], subject.props  # type: ignore[index, call-overload, return-value]
    return None


@pytest.mark.parametrize("kind", sorted(POD_TEMPLATES))
def test_a_policy_on_all_pods_finds_its_fault_in_every_kind_of_workload(kind: str) -> None:
    judged_cases = 0
    for case in _bad_cases("resource"):
        policy, found = POLICIES[case.policy], _template(case)
        if found is None or kind not in policy.kinds or not policy.kinds <= set(POD_TEMPLATES):
            continue
        template, owner = found
        props: dict[str, Any] = dict(template)
        for key in reversed(POD_TEMPLATES[kind].split(".") if POD_TEMPLATES[kind] else []):
            props = {key: props}
        metadata = {**owner["metadata"], **props.get("metadata", {})}
        token = token_of(kind)
        assert judged(policy, resource(token, {**props, "metadata": metadata})), f"{case.policy}: {case.name}"
        judged_cases += 1
    assert judged_cases
