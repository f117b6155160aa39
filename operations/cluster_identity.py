"""Checks that a stack's configuration still names the cluster that the stack was deployed to."""

import json
from typing import Final

from operations.errors import OperationError
from operations.pulumi import Json, Pulumi

NAMESPACE: Final = "kubernetes:core/v1:Namespace"


def check(pulumi: Pulumi, exported: Json | None = None) -> None:
    """Compare the namespace in the state with the namespace in the cluster that the configuration names.

    A cluster has no name of its own, but every namespace has its own UID. Pulumi does not compare them: in another
    cluster it would update objects of the same names. The check passes if the stack is not deployed, or if the
    namespace can't be read: then the update itself reports the reason.

    Args:
        pulumi: The stack.
        exported: Its exported state, if the caller has it already.

    Raises:
        OperationError: The configuration names another cluster.
    """
    try:
        deployed = _in_state(exported or json.loads(pulumi.run("stack", "export")))
        if deployed is None:
            return
        from operations.cluster import Cluster  # noqa: PLC0415  # takes a second to import, which no other command needs

        name, uid = deployed
        found = Cluster.of(pulumi).namespace_uid(name)
    except OperationError:
        return
    if found != uid:
        difference = f"has another namespace {name} (UID {found})" if found else f"has no namespace {name}"
        raise OperationError(
            f"the cluster of {_described(pulumi)} {difference}; stack {pulumi.stack} was deployed to the one with UID "
            f"{uid}. If it is another cluster, correct langfuse:cluster in the stack file; to move there, create a new "
            f"stack and restore a backup. If the namespace was deleted, run `pulumi refresh --stack {pulumi.stack}`"
        )


def _in_state(exported: Json) -> tuple[str, str] | None:
    """The name and UID of the namespace in an exported state."""
    for resource in (exported.get("deployment") or {}).get("resources") or ():
        if resource.get("type") == NAMESPACE and not resource.get("delete"):
            metadata = (resource.get("outputs") or {}).get("metadata") or {}
            if isinstance(metadata.get("name"), str) and isinstance(metadata.get("uid"), str):
                return metadata["name"], metadata["uid"]
    return None


def _described(pulumi: Pulumi) -> str:
    context = (pulumi.settings().get("langfuse:cluster") or {}).get("context")
    return f"langfuse:cluster.context {context}" if context else "the current context"
