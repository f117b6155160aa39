"""A report on one stack: what would change, what that costs, and whether it may. It holds names, never values."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from components.schema.requests import Requests

Action = Literal["create", "update", "replace", "delete"]
Outcome = Literal["fine", "refused", "failed"]


class Frozen(BaseModel):
    """Immutable, and strict about its keys: a report is written by one job and read by another."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(Frozen):
    """What would become of one resource."""

    urn: str
    action: Action
    because: tuple[str, ...] = ()
    """Paths of properties: those that force a replacement, else those that differ."""
    follows: str = ""
    """URN of the volume claim whose replacement takes this along."""
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
        """The type as people say it, for example `Secret`."""
        return self.type.rpartition(":")[2]


class Finding(Frozen):
    """What a policy has found."""

    policy: str
    level: str
    """`mandatory` stops the update; `advisory` doesn't."""
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
    """What the guard says of replacements and deletions of what holds data."""

    refused: tuple[Change, ...] = ()
    acknowledged: tuple[Change, ...] = ()
    unused: tuple[str, ...] = ()
    """Acknowledgements that no change needs: left in place, one would let a later loss through."""


class Report(Frozen):
    """All that a reviewer decides on."""

    stack: str
    of: Literal["update", "drift", "state"] = "update"
    """Whether it tells what an update would do, what somebody did behind Pulumi's back, or of what is deployed."""
    outcome: Outcome
    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    capacity: Capacity
    guard: Verdict = Verdict()
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    """Why the preview could not be made."""


def name_of(urn: str) -> str:
    """The name in `urn:pulumi:STACK::PROJECT::TYPES::NAME`."""
    return urn.split("::", 3)[-1]


def type_of(urn: str) -> str:
    """The resource's own type: the last of its URN's, where each parent's stands before it."""
    return urn.split("::", 3)[2].rpartition("$")[2]
