"""Decides what becomes of the pending operations of a state."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from operations.errors import OperationError
from operations.recovery.objects import (
    KUBERNETES,
    Json,
    ObjectSource,
    belongs_to_stack,
    created_at,
    is_object,
    object_id,
    title,
)
from operations.recovery.waiting import wait_until_deleted

IN_MEMORY: Final = ("random:", "pulumi:", "langfuse:")
"""Types that exist in the state alone. The engine creates providers itself."""

IDEMPOTENT: Final = ("pulumi-python:dynamic",)
"""Types whose creation adopts what it created before (`components/stores/object_store/bucket_provider.py`)."""

SETTLE_SECONDS: Final = 10.0
"""How long a provider may outlive the CLI to finish its last request."""


@dataclass
class Plan:
    """The new resources of the state, and what to do next."""

    resources: list[Json] = field(repr=False)
    read_again: list[str] = field(default_factory=list)
    """URNs of resources that exist, or may exist."""
    messages: list[str] = field(default_factory=list)


def resolve(resources: Sequence[Json], operations: Sequence[Json], cluster: ObjectSource, *, settle: float = 0) -> Plan:
    """Decide what becomes of each pending operation. Changes nothing.

    Args:
        resources: The resources of the state.
        operations: The pending operations.
        cluster: Where objects are looked up.
        settle: Seconds after which missing objects are looked up once more.

    Raises:
        OperationError: Recovery does not know how to look a resource up.
    """
    plan = Plan(list(resources))
    creations = [operation["resource"] for operation in operations if operation["type"] == "creating"]
    unknown = [item["urn"] for item in creations if not _is_known(item["type"])]
    if unknown:
        raise OperationError(
            "recovery can't look up whether these were created; run `pulumi refresh` in a terminal, which asks: "
            + ", ".join(unknown)
        )
    found = _look_up(creations, cluster, settle)
    for item in creations:
        if item.get("custom"):
            plan.messages.append(f"{title(item)}: {_create(plan, item, found.get(_key(item)), cluster)}")
    for operation in operations:
        item = operation["resource"]
        if operation["type"] == "deleting" and is_object(item):
            wait_until_deleted(item, cluster)
        if operation["type"] in {"updating", "deleting"} and item.get("custom"):
            plan.read_again.append(item["urn"])
            plan.messages.append(f"{title(item)}: {operation['type']} was interrupted; reading it again")
    return plan


def seconds_until_settled(manifest: Mapping[str, Any]) -> float:
    """How long a provider may still be working, by the time at which the state was last written."""
    try:
        written = datetime.fromisoformat(manifest["time"])
    except (KeyError, ValueError):
        return SETTLE_SECONDS
    passed = (datetime.now(UTC) - written).total_seconds()
    return min(max(SETTLE_SECONDS - passed, 0), SETTLE_SECONDS)


def _create(plan: Plan, item: Json, live: Mapping[str, Any] | None, cluster: ObjectSource) -> str:
    """Add a creation to the plan. Returns the message about it."""
    if not is_object(item) or live is None:
        return "was not created"
    if not belongs_to_stack(item, live):
        return "exists, but this stack did not create it; left alone"
    created = {**item, "id": object_id(item)}
    old = next((one for one in plan.resources if one["urn"] == item["urn"] and not one.get("delete")), None)
    if old and old.get("id") == created["id"] and not old.get("pendingReplacement"):
        return "was created by a later command"
    plan.read_again.append(item["urn"])
    if old and not old.get("pendingReplacement"):
        if created_at(cluster.get(old["inputs"])) > created_at(live):  # a later command created another one
            plan.resources.append({**created, "delete": True})
            return "was created and is not needed any more; the next update deletes it"
        plan.resources[plan.resources.index(old)] = {**old, "delete": True}
    elif old:  # it was deleted to make room for this one
        plan.resources.remove(old)
    plan.resources.insert(_first_place(plan.resources, created), created)
    return "was created; added to the state"


def _first_place(resources: Sequence[Json], item: Json) -> int:
    """The index behind everything that a resource refers to: the state is sorted this way."""
    needed = {
        item.get("parent"),
        item.get("provider", "").rpartition("::")[0],
        *(item.get("dependencies") or ()),
        *(urn for urns in (item.get("propertyDependencies") or {}).values() for urn in urns or ()),
    }
    return max((index + 1 for index, other in enumerate(resources) if other["urn"] in needed), default=0)


def _key(item: Json) -> tuple[str, str]:
    """Identifies a creation: objects of two kinds can have the same id, and a retry can create another name."""
    return item["urn"], object_id(item)


def _look_up(
    creations: Sequence[Json], cluster: ObjectSource, settle: float
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The objects that exist."""
    wanted = {_key(item): item["inputs"] for item in creations if is_object(item)}
    found = {key: live for key, inputs in wanted.items() if (live := cluster.get(inputs))}
    if len(found) < len(wanted):
        time.sleep(settle)
        found |= {key: live for key, inputs in wanted.items() if key not in found and (live := cluster.get(inputs))}
    return found


def _is_known(token: str) -> bool:
    return token.startswith((KUBERNETES, *IN_MEMORY, *IDEMPOTENT))
