"""A protected stack takes Postgres to another major release and back, on a real API server."""

from __future__ import annotations

from typing import Final

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.harness import Result
from tests.engine.matrix import small
from tests.engine.stacks import Stack, operate
from tests.engine.view import Json, View

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(900)]

NEW: Final = "18.4"
CLAIM: Final = "langfuse-postgres-data"


@pytest.fixture(scope="module")
def stack(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("stacks") / "upgrading"
    made = Stack.new("upgrading", folder, sandbox.environment(), {**small("managed"), "langfuse:protect": True})
    made.up().ok()
    return made


def upgrade(stack: Stack, *words: str) -> Result:
    where = ["--stack", stack.name, "--config-file", str(stack.file)]
    return operate("upgrade-postgres", [*where, *words], stack.environment, timeout_seconds=400)


def claims(view: View) -> dict[str, str]:
    """The UIDs of the volume claims of Postgres."""
    found = (item["metadata"] for item in view.objects("persistentvolumeclaims"))
    return {item["name"]: item["uid"] for item in found if item["name"].startswith(CLAIM)}


def server(view: View) -> tuple[str, str]:
    """The tag of the image, and the claim."""
    (item,) = (one for one in view.objects("statefulsets") if one["metadata"]["name"] == "langfuse-postgres")
    spec: Json = item["spec"]["template"]["spec"]
    claim = next(one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if one["name"] == "data")
    return spec["containers"][0]["image"].rpartition(":")[2], claim


def replicas(view: View) -> dict[str, int]:
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in view.objects("deployments")}


def test_the_server_changes_its_volume_and_nothing_is_replaced(sandbox: Sandbox, stack: Stack) -> None:
    view = View(sandbox, f"langfuse-{stack.name}")
    before, running = claims(view), replicas(view)
    tag, claim = server(view)
    assert claim == CLAIM
    upgrade(stack, "--to", NEW).ok()
    assert server(view) == (NEW, f"{CLAIM}-18")
    after = claims(view)
    assert after[CLAIM] == before[CLAIM]
    assert replicas(view) == running
    assert stack.preview("--expect-no-changes").exit_code == 0
    refused = upgrade(stack, "--back")
    assert refused.exit_code == 2
    assert "--discard-writes" in refused.output

    upgrade(stack, "--back", "--discard-writes").ok()
    assert server(view) == (tag, CLAIM)
    assert claims(view) == before
    assert replicas(view) == running

    upgrade(stack, "--to", NEW).ok()  # it refuses a stack with changes that are not deployed
    upgrade(stack, "--finish").ok()
    assert server(view) == (NEW, f"{CLAIM}-18")
    assert claims(view).keys() == {f"{CLAIM}-18"}
    assert stack.preview("--expect-no-changes").exit_code == 0
    assert stack.setting("langfuse:postgres", "former") is None
