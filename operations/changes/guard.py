"""Refuses to replace or delete what holds data, unless `stacks/acknowledged.yaml` names the resource.

- stack: dev
  resource: kubernetes:core/v1:PersistentVolumeClaim::langfuse-postgres-data
  action: replace
  reason: a faster storage class; dumped and restored by hand, see issue 12
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError, field_validator

from components.settings import documents
from operations.changes.model import Change, Frozen, Verdict
from operations.errors import OperationError
from operations.pulumi import STACKS

FILE: Final = STACKS / "acknowledged.yaml"


class Acknowledgement(Frozen):
    """One intended loss."""

    stack: str
    resource: str
    """The URN, or `type::name`."""
    action: Literal["replace", "delete"]
    reason: str

    @field_validator("resource")
    @classmethod
    def _resource(cls, text: str) -> str:
        if "::" not in text:
            raise ValueError("is not `type::name` or a URN; copy it from the report of the preview")
        return text

    @field_validator("reason", "stack")
    @classmethod
    def _text(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is empty")
        return text

    def covers(self, change: Change) -> bool:
        """Whether it permits this change."""
        return self.action == change.action and self.resource in {change.urn, resource_of(change)}


def resource_of(change: Change) -> str:
    """The name of a changed resource in an acknowledgement."""
    return f"{change.type}::{change.name}"


def acknowledgements(file: Path) -> Sequence[Acknowledgement]:
    """Read the acknowledgements of a file, if it exists.

    Raises:
        OperationError: Entries are invalid; the message lists all of them.
    """
    if not file.exists():
        return []
    document = documents.read(file)
    try:
        return TypeAdapter(list[Acknowledgement]).validate_python(document.content or [])
    except ValidationError as error:
        problems = [
            f"line {document.line(*detail['loc'])}: {_explain(detail['loc'], detail['type'], detail['msg'])}"
            for detail in error.errors()
        ]
        raise OperationError("\n  ".join([f"{file} has invalid entries:", *problems])) from None


def judge(stack: str, changes: Sequence[Change], known: Sequence[Acknowledgement]) -> Verdict:
    """Judge the changes of a stack.

    A StatefulSet that is replaced together with its claim is no loss of its own: the claim is acknowledged.
    """
    stateful = [change for change in changes if change.action in {"replace", "delete"} and change.holds_data]
    losses = [change for change in stateful if not change.follows]
    intended = [acknowledgement for acknowledgement in known if acknowledgement.stack == stack]
    acknowledged = [change for change in losses if any(one.covers(change) for one in intended)]
    return Verdict(
        refused=tuple(change for change in losses if change not in acknowledged),
        acknowledged=tuple(acknowledged),
        unused=tuple(
            f"{one.action} of {one.resource}" for one in intended if not any(one.covers(change) for change in stateful)
        ),
    )


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    if not location:
        return "the file must be a list of entries with stack, resource, action and reason"
    entry = f"entry {int(location[0]) + 1}"
    if kind == "model_type":
        return f"{entry}: must have the keys stack, resource, action and reason"
    rule = {
        "missing": "is required",
        "extra_forbidden": "is not a known key; they are stack, resource, action and reason",
        "string_type": "must be text",
    }.get(kind, message.removeprefix("Value error, ").replace("Input should be", "must be"))
    return f"{entry}: {location[1]} {rule}"
