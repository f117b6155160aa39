"""Events as the engine sends them, for the tests of what is read from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from operations.pulumi import Events, Pulumi

PROJECT = "urn:pulumi:dev::langfuse::langfuse:index:Langfuse$"

Json = dict[str, Any]

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "kubernetes:core/v1:Secret"  # noqa: S105  # a type
PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105  # a type
JOB = "kubernetes:batch/v1:Job"


def urn(kind: str, name: str) -> str:
    return f"{PROJECT}{kind}::{name}"


def step(
    op: str,
    kind: str,
    name: str,
    *,
    keys: list[str] | None = None,
    detailed: Mapping[str, str] | None = None,
    old: Json | None = None,
    new: Json | None = None,
    custom: bool = True,
) -> Json:
    """The event of one step. `old` and `new` are inputs; which of the states there are follows from the operation."""

    def state(inputs: Json | None) -> Json:
        return {"type": kind, "urn": urn(kind, name), "custom": custom, "inputs": inputs or {}, "outputs": inputs or {}}

    return {
        "resourcePreEvent": {
            "metadata": {
                "op": op,
                "urn": urn(kind, name),
                "type": kind,
                "old": None if op == "create" else state(old),
                "new": None if op in {"delete", "delete-replaced"} else state(new),
                "detailedDiff": {path: {"diffKind": kind, "inputDiff": False} for path, kind in detailed.items()}
                if detailed
                else None,
                **({"keys": keys} if keys else {}),
            }
        }
    }


def replacement(kind: str, name: str, path: str) -> list[Json]:
    """The three events of a replacement, the new object first."""
    steps = ("create-replacement", "replace", "delete-replaced")
    return [step(op, kind, name, keys=None if op == "delete-replaced" else [path]) for op in steps]


def policy(name: str, message: str, *, level: str = "mandatory", resource: str = "", **more: str) -> Json:
    """The event of a finding."""
    return {
        "policyEvent": {
            "resourceUrn": resource,
            "message": f"<{{%fg 1%}}>What it is about.\n{message}<{{%reset%}}>\n",
            "policyName": name,
            "policyPackName": "langfuse-security",
            "enforcementLevel": level,
            **more,
        }
    }


def diagnostic(severity: str, message: str) -> Json:
    """The event of a message."""
    return {"diagnosticEvent": {"severity": severity, "message": message, "prefix": f"{severity}: "}}


@dataclass(frozen=True)
class Recorded(Pulumi):
    """A stack whose operations send these events, and whose secrets are these."""

    sent: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    exit_code: int = 0
    complaint: str = ""
    known: Collection[str] = field(default=(), repr=False)

    def events(self, *_words: str) -> Events:
        return Events(self.exit_code, tuple(self.sent), self.complaint)

    def secrets(self) -> frozenset[str]:
        return frozenset(self.known)
