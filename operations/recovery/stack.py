"""Brings a stack into a state from which `pulumi up` and `pulumi destroy` work."""

import json
from collections.abc import Callable

from operations import cluster_identity
from operations.errors import OperationError
from operations.pulumi import Pulumi, backend
from operations.recovery import file_backend
from operations.recovery.objects import Json, ObjectSource, is_unread
from operations.recovery.pending import Plan, resolve, seconds_until_settled
from operations.recovery.waiting import wait_for_migration


def recover(
    pulumi: Pulumi, say: Callable[[str], None], *, break_lock: bool = False, cluster: ObjectSource | None = None
) -> bool:
    """Recover a stack. Returns whether there was anything to recover from.

    Args:
        pulumi: The stack.
        say: Prints a line about what was found or done.
        break_lock: Remove the lock without a check of who holds it.
        cluster: Where the objects of the stack are; by default the cluster that the configuration names.

    Raises:
        OperationError: Another command is running on the stack, or the cluster can't be read.
    """
    unlocked = _unlock(pulumi, say, break_lock=break_lock)
    exported = pulumi.run("stack", "export")
    state = json.loads(exported)
    deployment = state.get("deployment") or {}
    operations = deployment.get("pending_operations") or []
    unread = [item["urn"] for item in deployment.get("resources") or [] if is_unread(item)]
    if not operations and not unread:
        return unlocked
    say("unfinished operations:")
    if any(operation["type"] == "creating" for operation in operations):
        cluster_identity.check(pulumi, state)  # in another cluster no object would be found
    plan = _plan(deployment, cluster or _cluster(pulumi), say)
    for line in plan.messages:
        say(f"  {line}")
    if operations:
        _import(pulumi, exported, plan)
    targets = dict.fromkeys([*plan.read_again, *unread])
    if targets:
        pulumi.change("refresh", *(f"--target={urn}" for urn in targets))
    return True


def _unlock(pulumi: Pulumi, say: Callable[[str], None], *, break_lock: bool) -> bool:
    """Remove the lock of a command that is not running any more, and half-written files. Returns whether it had to."""
    where = backend()
    locked = break_lock or file_backend.is_abandoned(pulumi.stack, where)
    repaired = file_backend.remove_partial_files(pulumi.stack, where)
    if repaired:
        say("removed files that a command had not finished writing")
    if locked or repaired:
        try:
            pulumi.run("cancel", "--yes")
            say("removed the lock of a command that is not running any more")
        except OperationError as error:  # Pulumi Cloud knows of no update
            say(str(error))
    return locked or repaired


def _plan(deployment: Json, cluster: ObjectSource, say: Callable[[str], None]) -> Plan:
    operations = deployment.get("pending_operations") or []
    wait_for_migration(operations, cluster, say)
    settle = seconds_until_settled(deployment.get("manifest") or {})
    return resolve(deployment.get("resources") or [], operations, cluster, settle=settle)


def _import(pulumi: Pulumi, exported: str, plan: Plan) -> None:
    """Write the plan into the state, unless the state was changed since it was exported."""
    if pulumi.run("stack", "export") != exported:
        raise OperationError(f"stack {pulumi.stack} was changed in the meantime; run the command again")
    state = json.loads(exported)
    state["deployment"] |= {"resources": plan.resources, "pending_operations": []}
    pulumi.run("stack", "import", stdin=json.dumps(state))


def _cluster(pulumi: Pulumi) -> ObjectSource:
    from operations.cluster import Cluster  # noqa: PLC0415  # takes a second to import, and is rarely needed

    return Cluster.of(pulumi)
