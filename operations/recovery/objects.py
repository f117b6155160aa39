"""Resources of an exported state, and the objects of the cluster that they stand for."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from operations.changes.model import name_of, type_of

Json = dict[str, Any]  # a resource in the state

KUBERNETES: Final = "kubernetes:"


class ObjectSource(Protocol):
    """Where objects are looked up: a cluster."""

    def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object with the kind, name and namespace of `wanted`; None if it does not exist."""


def is_object(item: Json) -> bool:
    """Whether a resource is an object of Kubernetes."""
    return str(item["type"]).startswith(KUBERNETES)


def is_unread(item: Json) -> bool:
    """Whether a resource was added to the state by a recovery that was killed before it read the object."""
    return is_object(item) and not item.get("outputs")


def object_id(item: Json) -> str:
    """The id that the provider gives an object: `namespace/name`, or only the name (fqObjName in provider.go)."""
    metadata = (item.get("inputs") or {}).get("metadata") or {}
    return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))


def title(item: Json) -> str:
    """A resource as people call it: its kind and its name in the program."""
    return f"{type_of(item['urn']).rpartition(':')[2]} {name_of(item['urn'])}"


def belongs_to_stack(item: Json, live: Mapping[str, Any]) -> bool:
    """Whether an object of the cluster is the one that the stack created: it has every label of the resource."""
    wanted = item["inputs"]["metadata"].get("labels") or {}
    has = live["metadata"].get("labels") or {}
    return all(has.get(key) == value for key, value in wanted.items())


def created_at(live: Mapping[str, Any] | None) -> str:
    """When an object was created; before all others if it does not exist."""
    return str(live["metadata"]["creationTimestamp"]) if live else ""
