"""Checks of this machine and of what it reaches: the Pulumi CLI, the backend, the configuration and the state."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from operations import tools
from operations.changes.events import observe
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.pulumi import Json, Pulumi, backend, listed, version
from operations.store_checks import kubernetes_objects

BACKEND: Final = Check("machine", "Pulumi and its backend")
SECRETS: Final = Check("machine", "secrets of the configuration")
STATE: Final = Check("machine", "the stack and its last update")
PREVIEW: Final = Check("stack", "preview")


def lines(pulumi: Pulumi) -> Iterator[Line]:
    """Whether there is a CLI, and a backend that answers and knows the stack."""
    try:
        url, stacks = backend(), listed()
    except OperationError as error:
        yield BACKEND.failed(str(error), "install Pulumi, and sign in with `pulumi login`")
        return
    if url.startswith("file:") and tools.find().sandbox is None:
        yield BACKEND.warning(
            f"Pulumi {version()}, {url}: the state is on this machine, so nobody else can update the stack",
            "use a backend that several people reach (pulumi.com/docs/iac/concepts/state-and-backends)",
        )
    else:
        yield BACKEND.ok(f"Pulumi {version()}, {url}")
    if pulumi.stack not in stacks:
        yield STATE.failed(f"the backend has no stack {pulumi.stack}", f"pulumi stack init {pulumi.stack}")
        return
    yield _secrets(pulumi)
    yield _state(pulumi)


def _secrets(pulumi: Pulumi) -> Line:
    """Whether the secrets of the configuration can be read: with the passphrase, or by the key service."""
    try:
        pulumi.decrypt()
    except OperationError as error:
        reason = str(error).rpartition("failed: ")[2].removeprefix("error: ")
        return SECRETS.failed(
            reason, "set PULUMI_CONFIG_PASSPHRASE_FILE, or sign in to the key service that the stack file names"
        )
    return SECRETS.ok("can be decrypted")


def _state(pulumi: Pulumi) -> Line:
    """Whether an earlier command was interrupted."""
    deployment: Json = json.loads(pulumi.run("stack", "export")).get("deployment") or {}
    if pending := deployment.get("pending_operations"):
        return STATE.failed(
            f"it was interrupted during {len(pending)} operations",
            f"python -m operations recover --stack {pulumi.stack}",
        )
    return STATE.ok("ended" if deployment.get("resources") else "nothing is deployed yet")


def preview(pulumi: Pulumi) -> tuple[list[Line], Mapping[str, Json]]:
    """Whether the configuration is valid, and the inputs of all resources, by URN."""
    done = pulumi.events("preview")
    seen = observe(done.events)
    if done.exit_code == 0:
        return [PREVIEW.ok(f"{len(kubernetes_objects(seen.after.values()))} objects")], seen.after
    fix = f"python -m operations preview --stack {pulumi.stack}"
    problems = seen.errors or (done.complaint.removeprefix("error: "),)
    return [PREVIEW.failed(problem, fix) for problem in problems], seen.after
