"""A report on one stack: changes, requests, policy findings and losses of data. It holds names, never values."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from components.schema.requests import Requests

Action = Literal["create", "update", "replace", "delete"]
Outcome = Literal["fine", "refused", "failed"]


class Frozen(BaseModel):
    """Immutable, without unknown keys: one job writes a report, another reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(Frozen):
    """The change of one resource."""

    urn: str
    action: Action
    because: tuple[str, ...] = ()
    """Paths of the properties that force a replacement; for an update, of those that differ."""
    follows: str = ""
    """URN of the volume claim whose replacement causes this one."""
    holds_data: bool = False
    """Whether its replacement or deletion loses data, or a value that nobody can make a second time."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return name_of(self.urn)

    @property
    def type(self) -> str:
        """The type token, for example `kubernetes:core/v1:Secret`."""
        return type_of(self.urn)

    @property
    def kind(self) -> str:
        """The last part of the type, for example `Secret`."""
        return self.type.rpartition(":")[2]


class Finding(Frozen):
    """A finding of a policy."""

    policy: str
    level: str
    """`mandatory` stops the update, `advisory` does not."""
    severity: str = ""
    urn: str = ""
    message: str

    @property
    def stops(self) -> bool:
        """Whether the update is refused."""
        return self.level == "mandatory"


class Capacity(Frozen):
    """The requests of a stack before and after the update."""

    before: Requests
    after: Requests


class Verdict(Frozen):
    """The result of the guard for resources that hold data."""

    refused: tuple[Change, ...] = ()
    acknowledged: tuple[Change, ...] = ()
    unused: tuple[str, ...] = ()
    """Acknowledgements that no change needs. Left in place, one would permit a later loss."""


class Report(Frozen):
    """Everything that a reviewer needs to decide."""

    stack: str
    of: Literal["update", "drift", "state"] = "update"
    """The changes of an update, the changes made outside Pulumi, or the deployed state."""
    outcome: Outcome
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    capacity: Capacity
    guard: Verdict = Verdict()
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    """Errors of a preview that failed."""


def name_of(urn: str) -> str:
    """The name in `urn:pulumi:STACK::PROJECT::TYPES::NAME`."""
    return urn.split("::", 3)[-1]


def type_of(urn: str) -> str:
    """The type of the resource. A URN names the types of its parents before it."""
    return urn.split("::", 3)[2].rpartition("$")[2]
