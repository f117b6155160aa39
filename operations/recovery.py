"""Takes up what a command that was killed has left: its lock, and operations whose outcome Pulumi does not know.

The engine writes down each operation before it begins, and again when it has ended. What was begun and has no end is
*pending* in the state. An update or a deletion names an object that the state has: reading that again is enough. A
creation does not: if the object was made, each later `pulumi up` ends with "already exists". Its name is known, so the
cluster can be asked.

`pulumi refresh --import-pending-creates` is not used: it drops the operation, and does not put the object into the
state (seen with 3.258).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from pydantic import ValidationError

from components.schema import application as settings
from components.schema.environment import PROJECT
from operations import cluster as clusters
from operations import file_backend
from operations.changes.model import name_of, type_of
from operations.errors import OperationError
from operations.pulumi import Pulumi, backend

IN_MEMORY: Final = ("random:", "pulumi:", "langfuse:")
"""Types that exist in the state alone: what was not written down was never made. The engine makes providers itself."""

IDEMPOTENT: Final = ("pulumi-python:dynamic",)
"""Types whose creation takes over what it made before (`components/stores/object_store/bucket_provider.py`)."""

JOB: Final = "kubernetes:batch/v1:Job"

SETTLE_SECONDS: Final = 10.0
"""A provider outlives the CLI, and ends the request that it is at."""

DELETION_SECONDS: Final = 600.0
POLL_SECONDS: Final = 2.0

Json = dict[str, Any]  # a resource in the state


class ObjectSource(Protocol):
    """What is asked for objects: a cluster."""

    def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object with the kind, name and namespace of another."""


@dataclass
class Plan:
    """What becomes of the pending operations of a state."""

    resources: list[Json] = field(repr=False)
    read_again: list[str] = field(default_factory=list)
    """URNs of resources that are there, or may be."""
    told: list[str] = field(default_factory=list)


def recover(
    pulumi: Pulumi, say: Callable[[str], None], *, break_lock: bool = False, cluster: ObjectSource | None = None
) -> bool:
    """Bring a stack into a state from which `pulumi up` and `pulumi destroy` work. Returns whether it had to.

    Args:
        pulumi: The stack.
        say: Tells what was found and done.
        break_lock: Take the lock away without a look at who holds it.
        cluster: Where its objects are; the program's cluster by default.

    Raises:
        OperationError: Somebody is at work on the stack, or the cluster can't be asked.
    """
    where = backend()
    had_to = break_lock or file_backend.is_abandoned(pulumi.stack, where)
    if file_backend.mend(pulumi.stack, where):
        say("removed what a command had begun to write and not finished")
        had_to = True
    if had_to:
        try:
            pulumi.run("cancel", "--yes")
            say("took away the lock of a command that does not run any more")
        except OperationError as error:  # Pulumi Cloud knows of no update
            say(str(error))
    exported = pulumi.run("stack", "export")
    state = json.loads(exported)
    deployment = state.get("deployment") or {}
    operations = deployment.get("pending_operations") or []
    unread = [item["urn"] for item in deployment.get("resources") or [] if _is_unread(item)]
    if not operations and not unread:
        return had_to
    say("what was under way:")
    if any(operation["type"] == "creating" for operation in operations):
        clusters.check(pulumi)  # in another one nothing would be found
    objects = cluster or _cluster(pulumi)
    wait_for_migration(operations, objects, say)
    settle = _settle_seconds(deployment.get("manifest") or {})
    plan = resolve(deployment.get("resources") or [], operations, objects, settle=settle)
    for line in plan.told:
        say(f"  {line}")
    if operations:
        if pulumi.run("stack", "export") != exported:
            raise OperationError(f"stack {pulumi.stack} was changed meanwhile; run the command again")
        state["deployment"] = {**deployment, "resources": plan.resources, "pending_operations": []}
        pulumi.run("stack", "import", stdin=json.dumps(state))
    targets = dict.fromkeys([*plan.read_again, *unread])
    if targets:
        pulumi.change("refresh", *(f"--target={urn}" for urn in targets))
    return True


def wait_for_migration(operations: Sequence[Json], cluster: ObjectSource, say: Callable[[str], None]) -> None:
    """Wait until a migration whose Job was being made has ended. The Job has a deadline, so it does end.

    The next update replaces a Job that still runs: it would stop the migration half way, which people must repair.
    """
    for operation in operations:
        item, told = operation["resource"], False
        if operation["type"] != "creating" or item["type"] != JOB or not _is_migration(item):
            continue
        while (live := cluster.get(item["inputs"])) and _is_of(item, live) and not _has_ended(live):
            if not told:
                namespace, _, name = _id(item).partition("/")
                say(f"  {_name(item)}: still runs; waiting for its end (kubectl logs -f -n {namespace} job/{name})")
                told = True
            time.sleep(POLL_SECONDS)


def _is_migration(item: Json) -> bool:
    labels = item["inputs"]["metadata"].get("labels") or {}
    return bool(labels.get("app.kubernetes.io/component") == "migration")


def _has_ended(job: Mapping[str, Any]) -> bool:
    """Whether a Job completed, failed, or is being deleted (kubernetes.io/docs/concepts/workloads/controllers/job)."""
    conditions = job.get("status", {}).get("conditions") or []
    ended = any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions)
    return ended or "deletionTimestamp" in job["metadata"]


def resolve(resources: Sequence[Json], operations: Sequence[Json], cluster: ObjectSource, *, settle: float = 0) -> Plan:
    """Decide what becomes of each pending operation, and change nothing.

    Args:
        resources: Those in the state.
        operations: Those that are pending.
        cluster: Tells which objects are there.
        settle: Seconds after which an object that is not there is looked for once more.
    """
    plan = Plan(list(resources))
    creations = [operation["resource"] for operation in operations if operation["type"] == "creating"]
    unknown = [item["urn"] for item in creations if not _is_known(item["type"])]
    if unknown:
        raise OperationError(
            "it can't be told whether these were made; run `pulumi refresh` in a terminal, which asks: "
            + ", ".join(unknown)
        )
    found = _look_up(creations, cluster, settle)
    for item in creations:
        if item.get("custom"):
            plan.told.append(f"{_name(item)}: {_create(plan, item, found.get(_key(item)), cluster)}")
    for operation in operations:
        item = operation["resource"]
        if operation["type"] == "deleting" and _is_object(item):
            _wait_until_gone(item, cluster)
        if operation["type"] in {"updating", "deleting"} and item.get("custom"):
            plan.read_again.append(item["urn"])
            plan.told.append(f"{_name(item)}: was being {'changed' if operation['type'] == 'updating' else 'deleted'}")
    return plan


def _create(plan: Plan, item: Json, live: Mapping[str, Any] | None, cluster: ObjectSource) -> str:
    """Take a creation into the plan, and say what became of it."""
    if not _is_object(item) or live is None:
        return "was not made"
    if not _is_of(item, live):
        return "is there, made by somebody else, and stays as it is"
    made = {**item, "id": _id(item)}
    old = next((one for one in plan.resources if one["urn"] == item["urn"] and not one.get("delete")), None)
    if old and old.get("id") == made["id"] and not old.get("pendingReplacement"):
        return "was made later"
    plan.read_again.append(item["urn"])
    if old and not old.get("pendingReplacement"):
        if _made_at(cluster.get(old["inputs"])) > _made_at(live):  # a retry has made another one since
            plan.resources.append({**made, "delete": True})
            return "was made and is not needed any more; the next update deletes it"
        plan.resources[plan.resources.index(old)] = {**old, "delete": True}
    elif old:  # it is deleted already, to make room for this one
        plan.resources.remove(old)
    plan.resources.insert(_first_place(plan.resources, made), made)
    return "was made, and is in the state now"


def _first_place(resources: Sequence[Json], item: Json) -> int:
    """The index after everything that a resource refers to: the state is sorted so."""
    needed = {
        item.get("parent"),
        item.get("provider", "").rpartition("::")[0],
        *(item.get("dependencies") or ()),
        *(urn for urns in (item.get("propertyDependencies") or {}).values() for urn in urns or ()),
    }
    return max((index + 1 for index, other in enumerate(resources) if other["urn"] in needed), default=0)


def _settle_seconds(manifest: Mapping[str, Any]) -> float:
    """How long a provider may still be at work, by the time at which the state was last written."""
    try:
        written = datetime.fromisoformat(manifest["time"])
    except (KeyError, ValueError):
        return SETTLE_SECONDS
    passed = (datetime.now(UTC) - written).total_seconds()
    return min(max(SETTLE_SECONDS - passed, 0), SETTLE_SECONDS)


def _key(item: Json) -> tuple[str, str]:
    """What tells one creation from another: objects of two kinds may have one id, and a retry may give a new name."""
    return item["urn"], _id(item)


def _look_up(
    creations: Sequence[Json], cluster: ObjectSource, settle: float
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The objects that there are."""
    wanted = {_key(item): item["inputs"] for item in creations if _is_object(item)}
    found = {key: live for key, inputs in wanted.items() if (live := cluster.get(inputs))}
    if len(found) < len(wanted):
        time.sleep(settle)
        found |= {key: live for key, inputs in wanted.items() if key not in found and (live := cluster.get(inputs))}
    return found


def _wait_until_gone(item: Json, cluster: ObjectSource) -> None:
    """Wait for an object whose deletion has begun: nothing can be made in its place, or in it, before that."""
    deadline = time.monotonic() + DELETION_SECONDS
    while (live := cluster.get(item["inputs"])) and live["metadata"].get("deletionTimestamp"):
        if time.monotonic() > deadline:
            raise OperationError(
                f"{_name(item)} is still being deleted; see what holds it: kubectl describe, metadata.finalizers"
            )
        time.sleep(POLL_SECONDS)


def _made_at(live: Mapping[str, Any] | None) -> str:
    """When an object was made; before all others if it is gone."""
    return str(live["metadata"]["creationTimestamp"]) if live else ""


def _is_of(item: Json, live: Mapping[str, Any]) -> bool:
    """Whether an object is the one that was to be made: it has every label that ours has."""
    wanted = item["inputs"]["metadata"].get("labels") or {}
    has = live["metadata"].get("labels") or {}
    return all(has.get(key) == value for key, value in wanted.items())


def _is_known(token: str) -> bool:
    return token.startswith(("kubernetes:", *IN_MEMORY, *IDEMPOTENT))


def _is_object(item: Json) -> bool:
    return str(item["type"]).startswith("kubernetes:")


def _is_unread(item: Json) -> bool:
    """Whether a resource was put into the state, and a command that was killed has not read it yet."""
    return _is_object(item) and not item.get("outputs")


def _id(item: Json) -> str:
    """The id that the provider gives an object: `namespace/name`, or the name alone (fqObjName in provider.go)."""
    metadata = (item.get("inputs") or {}).get("metadata") or {}
    return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))


def _name(item: Json) -> str:
    return f"{type_of(item['urn']).rpartition(':')[2]} {name_of(item['urn'])}"


def _cluster(pulumi: Pulumi) -> ObjectSource:
    from operations.objects import Cluster  # noqa: PLC0415  # imports a client for a second, which is rarely needed

    try:
        return Cluster(settings.Cluster.model_validate(pulumi.settings().get(f"{PROJECT}:cluster") or {}))
    except ValidationError:
        raise OperationError(f"{PROJECT}:cluster can't be used; `pulumi preview` says what is wrong with it") from None
