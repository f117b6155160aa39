"""Which properties say why an object is changed or replaced: those that really differ.

A provider names more. Where an object is replaced because of one that it depends on, the engine asks the provider with
the dependent property unknown, and every property in it that forces a replacement is named, changed or not. A refresh
names what the API server keeps itself, such as `status`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]  # inputs, of any shape

KUBERNETES: Final = "kubernetes:"
SECRET: Final = "[secret]"  # noqa: S105  # what events show in place of a secret
REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
"""A Job that has failed is replaced by this annotation without any difference."""

OF_THE_SERVER: Final = re.compile(
    r"""(status|__\w+|metadata\.(creationTimestamp|generation|managedFields|resourceVersion|selfLink|uid))\b.*"""
)
"""What the API server and its controllers write (metav1.ObjectMeta), and what the provider notes beside the object."""

_PART: Final = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')
_MISSING: Final = object()


def real(kind: str, paths: Sequence[str], old: Json, new: Json, *, replaces: bool) -> tuple[str, ...]:
    """The paths that are reasons.

    Args:
        kind: The type token.
        paths: What the provider has named.
        old: Inputs before; empty if they are not known.
        new: Inputs after; empty if they are not known.
        replaces: Whether the object is replaced.
    """
    if not kind.startswith(KUBERNETES):
        return tuple(paths)
    found = tuple(path for path in paths if not OF_THE_SERVER.fullmatch(path.removeprefix(".")))
    if not (old and new):
        return found
    differing = tuple(path for path in found if REPLACE_UNREADY in path or _differs(path, old, new))
    # The server may have changed what the inputs say: then a path that is the same in both is the reason of an update.
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
    return value  # nothing is in it, as in one that is not known yet: it is compared itself
