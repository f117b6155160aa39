"""An installation keeps its name, with the real engine: a renamed stack is refused before anything changes."""

from __future__ import annotations

import json

import pytest

from tests.engine.conftest import ProgramFactory
from tests.engine.harness import CHECKOUT

pytestmark = pytest.mark.long

PROGRAM = f"""
    import sys
    sys.path.insert(0, {json.dumps(str(CHECKOUT))})
    from types import SimpleNamespace
    import pulumi
    import pulumi_random as random
    from components.identity import remembered_name

    name = pulumi.Config().get("instance") or f"langfuse-{{pulumi.get_stack()}}"
    parent = pulumi.ComponentResource("langfuse:index:Langfuse", "langfuse")
    kept = remembered_name(SimpleNamespace(instance=name, namespace=name), parent)
    waits = pulumi.ResourceOptions(depends_on=[kept])
    text = random.RandomString("data", length=8, keepers={{"name": name}}, opts=waits)
    pulumi.export("data", text.result)
"""


def test_a_renamed_stack_is_refused_with_the_way_out_and_changes_nothing(program: ProgramFactory) -> None:
    stack = program(PROGRAM)
    stack.up().ok()
    assert stack.up().ok().changes == {}
    data = stack.outputs()["data"]
    stack.pulumi("stack", "rename", "production").ok()
    stack.variables["PULUMI_STACK"] = "production"
    for result in (stack.preview(), stack.up("--skip-preview")):
        assert result.exit_code != 0
        assert 'langfuse:instance from "langfuse-test" to "langfuse-production"' in result.output
        assert "pulumi config set langfuse:instance langfuse-test" in result.output
    stack.pulumi("config", "set", "instance", "langfuse-test").ok()
    assert stack.up().ok().changes == {}
    assert json.loads(stack.pulumi("stack", "output", "--json").ok().stdout)["data"] == data
