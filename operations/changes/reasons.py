"""Finds the properties that are the reason of a change: those that differ.

A provider names more. If an object is replaced because of a dependency, the engine calls the provider with the
dependent property unknown. The provider then names every property in it that forces a replacement, changed or not. A
refresh also names fields that the API server maintains, such as `status`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]  # inputs, of any shape

KUBERNETES: Final = "kubernetes:"
SECRET: Final = "[secret]"  # noqa: S105  # replaces secrets in events
REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
"""With this annotation a failed Job is replaced, without any difference."""

OF_THE_SERVER: Final = re.compile(
    r"""(status|__\w+|metadata\.(creationTimestamp|generation|managedFields|resourceVersion|selfLink|uid))\b.*"""
)
"""Fields that the API server and its controllers write (metav1.ObjectMeta), and those that the provider adds."""

_PART: Final = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')
_MISSING: Final = object()


def real(kind: str, paths: Sequence[str], old: Json, new: Json, *, replaces: bool) -> tuple[str, ...]:
    """The paths that are reasons of a change.

    Args:
        kind: The type token.
        paths: The paths that the provider names.
        old: The inputs before the change; empty if unknown.
        new: The inputs after the change; empty if unknown.
        replaces: Whether the object is replaced.
    """
    if not kind.startswith(KUBERNETES):
        return tuple(paths)
    found = tuple(path for path in paths if not OF_THE_SERVER.fullmatch(path.removeprefix(".")))
    if not (old and new):
        return found
    differing = tuple(path for path in found if REPLACE_UNREADY in path or _differs(path, old, new))
    # The object may have changed in the cluster: then a path that is equal in both inputs is the reason of an update.
    return differing if differing or replaces else found


def _differs(path: str, old: Json, new: Json) -> bool:
    one: Any = old
    other: Any = new
    for key, index, name in _PART.findall(path):
        one, other = (_inside(value, int(index) if index else key or name) for value in (one, other))
        if SECRET in (one, other):
            return True
    return bool(one != other)


def _inside(value: Any, part: str | int) -> Any:  # noqa: ANN401  # a part of an object
    if isinstance(value, Mapping):
        return value.get(part, _MISSING)
    if isinstance(value, list) and isinstance(part, int):
        return value[part] if part < len(value) else _MISSING
    return value  # it has no parts, as an unknown value: compared itself
