"""Kubernetes objects as plain dicts: access to fields, names and ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from sandbox.plugins.errors import PluginError
from sandbox.plugins.properties import Property

Object: TypeAlias = "dict[str, Property]"

PACKAGE = "kubernetes"
READ_ONLY_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Kind(NamedTuple):
    """A GroupVersionKind. The core group is the empty string."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` field of objects of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """Return the form for messages."""
        return f"{self.api_version}/{self.kind}"

    @classmethod
    def of(cls, obj: Mapping[str, Property]) -> Kind:
        """Return the kind of an object; missing fields are empty."""
        group, _, version = text(obj, "apiVersion").rpartition("/")
        return cls("" if group == "core" else group, version, text(obj, "kind"))

    @classmethod
    def from_token(cls, token: str) -> Kind:
        """Return the kind of a Pulumi type token such as `kubernetes:apps/v1:Deployment`."""
        package, _, rest = token.partition(":")
        module, _, kind = rest.partition(":")
        group, _, version = module.partition("/")
        if package != PACKAGE or not group or not version or "/" in version or not kind:
            raise PluginError(f"{token}: not a type of the kubernetes provider (kubernetes:GROUP/VERSION:KIND)")
        return cls("" if group == "core" else group, version, kind)


def dig(value: Property, *path: str | int) -> Property:
    """Return the value at a path, None if there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and 0 <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text(value: Property, *path: str | int) -> str:
    """Return the string at a path, empty if there is none."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Property, *path: str | int, default: int = 0) -> int:
    """Return the integer at a path."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def mapping(value: Property, *path: str | int) -> Object:
    """Return the object at a path, empty if there is none."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects(value: Property, *path: str | int) -> list[Object]:
    """Return the objects in the list at a path."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def name(obj: Object) -> str:
    """Return `metadata.name`."""
    return text(obj, "metadata", "name")


def namespace(obj: Object) -> str:
    """Return `metadata.namespace`, empty for a cluster-scoped object."""
    return text(obj, "metadata", "namespace")


def put_metadata(obj: Object, key: str, value: Property) -> None:
    """Set a field of the metadata, or remove it with None. Does nothing if the metadata is unknown."""
    metadata = obj.setdefault("metadata", {})
    if isinstance(metadata, dict):
        metadata[key] = value
        if value is None:
            del metadata[key]


def annotation(obj: Object, key: str) -> str:
    """Return the value of an annotation, empty if there is none."""
    return text(obj, "metadata", "annotations", key)


def annotate(obj: Object, key: str, value: str) -> None:
    """Set an annotation. Does nothing if the annotations are unknown."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        annotations = metadata.setdefault("annotations", {})
        if isinstance(annotations, dict):
            annotations[key] = value


def condition(obj: Object, kind: str) -> Object:
    """Return the status condition of a type, empty if there is none."""
    return next((item for item in objects(obj, "status", "conditions") if item.get("type") == kind), {})


def owned_by(obj: Object, owner: Object) -> bool:
    """Return whether an owner reference of `obj` refers to `owner`."""
    uid = text(owner, "metadata", "uid")
    return bool(uid) and any(ref.get("uid") == uid for ref in objects(obj, "metadata", "ownerReferences"))


def object_id(obj: Object) -> str:
    """Return the Pulumi id of an object: `namespace/name`, or the name of a cluster-scoped one."""
    return f"{namespace(obj)}/{name(obj)}" if namespace(obj) else name(obj)


def parse_id(object_identity: str) -> tuple[str, str]:
    """Split an id into namespace (empty for none) and name."""
    head, slash, tail = object_identity.partition("/")
    return (head, tail) if slash else ("", head)


def duplicate(value: Property) -> Property:
    """Return a deep copy, several times as fast as `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: duplicate(item) for key, item in value.items()}
    return [duplicate(item) for item in value] if isinstance(value, list) else value


def copied(obj: Object) -> Object:
    """Return a deep copy of an object."""
    return {key: duplicate(item) for key, item in obj.items()}


def without_read_only(obj: Object) -> Object:
    """Return a copy without the metadata that only the server sets."""
    copy = copied(obj)
    metadata = copy.get("metadata")
    if isinstance(metadata, dict):
        for key in READ_ONLY_METADATA:
            metadata.pop(key, None)
    return copy


def prune(live: Property, like: Property) -> Property:
    """Reduce `live` to the fields that `like` has, so that fields which the server added are no difference."""
    if isinstance(live, dict) and isinstance(like, Mapping):
        return {key: prune(value, like[key]) for key, value in live.items() if key in like}
    if isinstance(live, list) and isinstance(like, list):
        return [prune(value, twin) for value, twin in zip(live, like, strict=False)]
    return duplicate(live)


def prune_object(live: Object, like: Object) -> Object:
    """Prune an object; see `prune`."""
    pruned = prune(live, like)
    return pruned if isinstance(pruned, dict) else {}
