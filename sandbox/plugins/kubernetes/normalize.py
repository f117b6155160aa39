"""Converts equivalent inputs to one form, so that spelling is no difference: `clients/unstructured.go`."""

from __future__ import annotations

import base64
import binascii

from sandbox.plugins.kubernetes.discovery import BUILT_IN_GROUPS
from sandbox.plugins.kubernetes.objects import Kind, Object, mapping, without_read_only
from sandbox.plugins.kubernetes.typed import typed
from sandbox.plugins.properties import Property, contains_unknown


def normalize(obj: Object) -> Object:
    """Return a copy in the form that the API server returns."""
    normal = without_read_only(obj)
    kind = Kind.of(normal)
    if kind.group not in BUILT_IN_GROUPS or contains_unknown(normal):
        return normal
    normal = typed(normal)
    if kind[0::2] == ("", "Secret"):
        _normalize_secret(normal)
    elif kind[0::2] == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        normal.pop("status", None)
        if mapping(normal, "spec").get("preserveUnknownFields") is False:
            del mapping(normal, "spec")["preserveUnknownFields"]
    return normal


def _normalize_secret(secret: Object) -> None:
    """Move `stringData` to `data`, as the server does; `stringData` wins if both have a key."""
    encoded, plain = mapping(secret, "data"), mapping(secret, "stringData")
    data: Object = {key: _reencoded(value) for key, value in encoded.items()}
    for key, value in plain.items():
        data[key] = base64.b64encode(str(value).encode()).decode()
    if plain:
        del secret["stringData"]
    if data:
        secret["data"] = data


def _reencoded(value: Property) -> Property:
    """Remove what decoders ignore, such as line breaks. The server rejects invalid base64."""
    try:
        return base64.b64encode(base64.b64decode(str(value), validate=False)).decode()
    except (binascii.Error, ValueError):
        return value
