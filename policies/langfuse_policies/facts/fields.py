"""Fields: how a policy reads a resource. Reading never raises, whatever the resource looks like.

In a preview, some values are unknown: they depend on resources that do not exist yet. Pulumi's policy SDK raises an
exception when a policy reads one, which ends the policy. A `Field` does not: every predicate of an unknown value is
false, so a policy reports what is certainly wrong and continues with the other fields. The paths of the unknown values
are recorded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from langfuse_policies.facts.quantities import parse_quantity
from langfuse_policies.facts.redaction import shown


class Unknown:
    """A value that is known only after the resources that it depends on are made."""

    def __repr__(self) -> str:
        """As it stands in a report."""
        return "unknown"


class Absent:
    """No value: the key is missing, or null, or its parent is no mapping."""

    def __repr__(self) -> str:
        """As it stands in a report."""
        return "absent"


UNKNOWN: Final = Unknown()
ABSENT: Final = Absent()
#: A field that a patch leaves out. It is unknown, and stays unknown in later runs.
ELSEWHERE: Final = Unknown()

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*$")

Value = None | bool | float | str | list["Value"] | dict[str, "Value"] | Unknown


def plain(value: object) -> Value:
    """Converts a value to the types of `Value`: every number becomes a float, as the engine sends them."""
    if value is None or isinstance(value, bool | float | str | Unknown):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


@dataclass(slots=True, eq=False)  # not frozen: that takes three times as long, and policies create many
class Field:
    """A value and where it is."""

    value: Value | Absent
    #: Paths of the unknown values that were read: shared by all fields of a resource.
    unknown_paths: set[str] = field(default_factory=set)
    #: Whether it is part of a patch: a missing field may be set in the object itself.
    partial: bool = False
    #: The parent field, and the key or index in it.
    parent: "Field | None" = None
    key: str | int = ""

    def __getitem__(self, key: str | int) -> "Field":
        """The field under a key or index; absent where there is none, unknown where this one is."""
        value = self.value
        if isinstance(value, Unknown):
            return self
        if isinstance(key, str):
            child = value.get(key) if isinstance(value, dict) else None
        else:
            child = value[key] if isinstance(value, list) and -len(value) <= key < len(value) else None
        found = (ELSEWHERE if self.partial else ABSENT) if child is None else child
        return Field(found, self.unknown_paths, self.partial, self, key)

    @property
    def path(self) -> str:
        """The path, for example `spec.template.spec.containers[web].image`.

        Keys are quoted unless they are words; those that may be secrets are hidden.
        """
        if self.parent is None:
            return ""
        before = self.parent.path
        if isinstance(self.key, int):
            return f"{before}[{_label(self.value, self.key)}]"
        name = shown(self.key)
        if _WORD.match(name):
            return f"{before}.{name}" if before else name
        return f'{before}["{name}"]'

    def at(self, path: str) -> "Field":
        """The field at a dotted path of plain keys, for example `spec.template.spec`."""
        found = self
        for key in path.split("."):
            found = found[key]
        return found

    def __iter__(self) -> Iterator["Field"]:
        """The elements of a list; none of anything else."""
        if self.known and isinstance(self.value, list):
            for index in range(len(self.value)):
                yield self[index]

    def entries(self) -> Iterator[tuple[str, "Field"]]:
        """Keys and fields of a mapping; none of anything else."""
        if self.known and isinstance(self.value, dict):
            for key in self.value:
                yield key, self[key]

    def leaves(self) -> Iterator["Field"]:
        """Every scalar below this field, this one included."""
        if isinstance(self.value, dict):
            for _, child in self.entries():
                yield from child.leaves()
        elif isinstance(self.value, list):
            for child in self:
                yield from child.leaves()
        elif self.known and self.present:
            yield self

    @property
    def known(self) -> bool:
        """Whether the value is known, which includes absent. Records the path of an unknown one."""
        if isinstance(self.value, Unknown):
            if self.value is not ELSEWHERE:
                self.unknown_paths.add(self.path)
            return False
        return True

    @property
    def present(self) -> bool:
        """Whether there is a known value."""
        return self.known and not isinstance(self.value, Absent)

    @property
    def absent(self) -> bool:
        """Whether there is certainly no value."""
        return self.known and isinstance(self.value, Absent)

    @property
    def empty(self) -> bool:
        """Whether there is certainly nothing: absent, or an empty text, list or mapping."""
        return self.known and (self.absent or self.value in ("", [], {}))

    def equals(self, *expected: bool | float | str) -> bool:
        """Whether the value is known and one of these; numbers compare as numbers, true is not 1."""
        if not self.known:
            return False
        return any(_same(self.value, one) for one in expected)

    def differs(self, *expected: bool | float | str) -> bool:
        """Whether the value is known and none of these; an absent one differs from all."""
        if not self.known:
            return False
        return not any(_same(self.value, one) for one in expected)

    @property
    def text(self) -> str | None:
        """The text, or None when it is unknown, absent or of another type."""
        return self.value if self.known and isinstance(self.value, str) else None

    @property
    def number(self) -> float | None:
        """The number, or None; a text of digits counts as one, as in environment variables and labels."""
        if not self.known:
            return None
        if isinstance(self.value, float) and not isinstance(self.value, bool):
            return self.value
        if isinstance(self.value, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", self.value):
            return float(self.value)
        return None

    @property
    def quantity(self) -> Decimal | None:
        """The Kubernetes quantity in cores or bytes, or None."""
        if self.known and isinstance(self.value, str | float) and not isinstance(self.value, bool):
            return parse_quantity(self.value)
        return None

    @property
    def texts(self) -> list[str]:
        """The texts among the elements of a list."""
        return [text for element in self if (text := element.text) is not None]

    @property
    def size(self) -> int:
        """How many elements or keys; zero for anything else."""
        return len(self.value) if self.known and isinstance(self.value, list | dict) else 0


def _label(element: object, index: int) -> str:
    """An element of a list by its name, as `containers[web]`, or by its place when it has none that can be shown."""
    name = element.get("name") if isinstance(element, dict) else None
    return name if isinstance(name, str) and name and shown(name) == name else str(index)


def _same(value: object, expected: bool | float | str) -> bool:
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    return value == expected
