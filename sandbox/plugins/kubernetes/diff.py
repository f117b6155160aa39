"""The differences between old and new inputs, and which of them need a replacement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Final, NamedTuple

from sandbox.plugins.kubernetes import paths
from sandbox.plugins.kubernetes.objects import dig
from sandbox.plugins.kubernetes.paths import Path
from sandbox.plugins.kubernetes.replacing import touches
from sandbox.plugins.properties import Property, Unknown
from sandbox.plugins.pulumirpc import provider_pb2

ADD: Final = provider_pb2.PropertyDiff.ADD
DELETE: Final = provider_pb2.PropertyDiff.DELETE
UPDATE: Final = provider_pb2.PropertyDiff.UPDATE
REPLACING: Final = {
    ADD: provider_pb2.PropertyDiff.ADD_REPLACE,
    DELETE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    UPDATE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class Change(NamedTuple):
    """One difference between the live object, pruned to the old inputs, and the new inputs."""

    path: Path
    kind: provider_pb2.PropertyDiff.Kind.ValueType
    value: Property


def changes(old: Property, new: Property, path: Path = ()) -> Iterator[Change]:
    """Yield the differences between the smallest parts that changed."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*new, *(key for key in old if key not in new)):
            yield from _change((*path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (before, after) in enumerate(zip_longest(old, new)):
            yield from _change((*path, index), before, after)
    elif isinstance(new, Unknown) or not _equal(old, new):
        yield Change(path, UPDATE, new)


def _change(path: Path, old: Property, new: Property) -> Iterator[Change]:
    if old is None and new is not None:
        yield Change(path, ADD, new)
    elif new is None and old is not None:
        yield Change(path, DELETE, None)
    elif new is not None:
        yield from changes(old, new, path)


def expanded(change: Change, old: Property, replacing: list[Path]) -> Iterator[Change]:
    """Yield a change. Expand one from a map to an unknown value into changes of the map's immutable fields.

    The engine diffs this way the dependents of an object that is replaced. The official plugin then replaces them too.
    """
    inside = [path for path in replacing if len(path) > len(change.path) and paths.covers(change.path, path)]
    held = (
        [path for path in inside if dig(old, *map(str, path)) is not None] if isinstance(change.value, Unknown) else []
    )
    yield from (Change(path, UPDATE, change.value) for path in held) if held else (change,)


def detailed(found: list[Change], replacing: list[Path]) -> dict[str, provider_pb2.PropertyDiff]:
    """Return the changes in the form that the engine shows."""
    result: dict[str, provider_pb2.PropertyDiff] = {}
    for change in found:
        replaces = any(touches(change.path, change.value, pattern) for pattern in replacing)
        result[paths.render(change.path)] = provider_pb2.PropertyDiff(
            kind=REPLACING[change.kind] if replaces else change.kind, inputDiff=change.kind == DELETE
        )
    return result


def is_replacing(change: provider_pb2.PropertyDiff) -> bool:
    """Return whether a detailed difference needs a replacement."""
    return change.kind in REPLACING.values()


def _equal(old: Property, new: Property) -> bool:
    return old == new and isinstance(old, bool) == isinstance(new, bool)
