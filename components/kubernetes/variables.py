"""Environment variables of containers: plain values, and references to Secrets and to fields of the pod."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """A key of a Secret in the namespace of the stack."""

    name: str
    key: str
    optional: bool = False
    """Whether the pod starts without it. The variable is then not set."""


@dataclass(frozen=True, kw_only=True)
class PodField:
    """A field of the pod, for example `metadata.name` (the downward API)."""

    path: str


Environment = Mapping[str, str | SecretRef | PodField]
"""The environment variables of a container, by name. The order matters: `$(NAME)` can only refer to an earlier one."""


def text(value: str | float | list[str]) -> str:
    """The text of a value for an environment variable: booleans as `true` and `false`, lists joined with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
