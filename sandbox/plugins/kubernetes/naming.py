"""Generates the names of objects without one, as `metadata/naming.go` of the official provider does."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import objects
from sandbox.plugins.kubernetes.objects import Object
from sandbox.plugins.properties import Unknown
from sandbox.plugins.pulumirpc import provider_pb2

AUTONAMED: Final = "pulumi.com/autonamed"
SUFFIX_DIGITS: Final = 8


def is_named(obj: Object) -> bool:
    """Return whether the object has a name, which may be unknown."""
    return bool(objects.name(obj)) or isinstance(objects.dig(obj, "metadata", "name"), Unknown)


def is_autonamed(obj: Object) -> bool:
    """Return whether this provider has generated the name."""
    return objects.annotation(obj, AUTONAMED) == "true"


def has_generate_name(obj: Object) -> bool:
    """Return whether the API server is to generate the name."""
    return not is_named(obj) and objects.dig(obj, "metadata", "generateName") not in (None, "")


def keep_old_name(obj: Object, old: Object) -> None:
    """Give an unnamed object the generated name of its previous version."""
    if not is_named(obj) and is_autonamed(old):
        _name(obj, objects.name(old))


def autoname(
    obj: Object, resource_name: str, seed: bytes, engine: provider_pb2.CheckRequest.AutonamingOptions | None
) -> None:
    """Name an unnamed object after its resource, or by the stack's autonaming configuration."""
    if is_named(obj) or has_generate_name(obj):
        return
    options = provider_pb2.CheckRequest.AutonamingOptions
    if engine is not None and engine.mode == options.DISABLE:
        raise PluginError("autonaming is disabled, resource requires the .metadata.name field to be set")
    proposed = engine.proposed_name if engine is not None else ""
    _name(obj, proposed or unique_name(f"{resource_name}-", seed))


def unique_name(prefix: str, seed: bytes = b"") -> str:
    """Return the prefix and a random suffix. The same seed gives the same suffix."""
    suffix = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(SUFFIX_DIGITS)
    return prefix + suffix[:SUFFIX_DIGITS]


def _name(obj: Object, value: str) -> None:
    objects.put_metadata(obj, "name", value)
    objects.annotate(obj, AUTONAMED, "true")
