"""Names that follow from the stack's name: refused where they could not exist, and kept when the stack is renamed."""

import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.identity import refuse_another_name
from components.stores.modes import StoreModes
from tests.unit.configuration import only_problem, refusal, settings
from tests.unit.program import recorded

BUCKET = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
DEV = {"profile": "dev"}


@pytest.mark.parametrize("stack", ["Prod_EU", "eu.prod", "team_a-dev", "x" * 60, "dev-", "PROD"])
def test_a_stack_name_that_makes_no_bucket_name_is_refused_with_the_way_out(stack: str) -> None:
    error = refusal(DEV, stack)
    command = re.search(r"pulumi config set langfuse:instance (\S+)$", error)
    assert command, error
    assert stack in error
    chosen = settings({**DEV, "instance": command[1]}, stack)
    names = [chosen.namespace, *StoreModes.of(chosen).object_store.bucket_names.values()]
    assert all(re.fullmatch(BUCKET, name) for name in names)


@pytest.mark.parametrize("stack", ["dev", "pr-1234", "a", "y" * 45])
def test_names_of_possible_stacks_are_bucket_names(stack: str) -> None:
    chosen = settings(DEV, stack)
    assert chosen.instance == chosen.namespace == f"langfuse-{stack}"
    for name in StoreModes.of(chosen).object_store.bucket_names.values():
        assert re.fullmatch(BUCKET, name)


def test_a_configured_name_that_is_impossible_is_refused() -> None:
    assert "instance: " in only_problem({**DEV, "instance": "Langfuse", "namespace": "langfuse"})


def test_a_renamed_stack_keeps_everything_with_the_name_as_a_key() -> None:
    before = recorded("prod")
    after = recorded("production", {"profile": "prod", "instance": "langfuse-prod", "host": "prod.example.com"})
    plain = {(item.type, item.name): item.inputs for item in before if item.custom}
    assert {(item.type, item.name): item.inputs for item in after if item.custom} == plain


def test_the_namespace_and_all_objects_wait_for_the_name() -> None:
    found = recorded("dev")
    (kept,) = found.of("Stash")
    assert kept.update_hooks == {"installation-keeps-its-name"}
    for item in found.of("Namespace"):
        if item.custom:
            assert kept.name in item.dependencies


def hook(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs(
        urn="urn",
        id="id",
        name="installation",
        type="pulumi:index:Stash",
        old_inputs=before,
        new_inputs=after,
    )


def names(name: str, namespace: str = "langfuse") -> Mapping[str, Any]:
    return {"input": {"instance": name, "namespace": namespace}}


def test_only_another_name_is_refused() -> None:
    refuse_another_name(hook(names("langfuse-prod"), names("langfuse-prod")))
    refuse_another_name(hook(None, names("langfuse-prod")))
    with pytest.raises(pulumi.RunError, match=r"pulumi config set langfuse:namespace langfuse"):
        refuse_another_name(hook(names("langfuse-prod"), names("langfuse-prod", "other")))
