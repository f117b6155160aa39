"""Environment variables of containers: plain values, and references to Secrets and to fields of the pod."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """One key of a Kubernetes Secret in the stack's namespace."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class PodField:
    """A field of the pod itself, for example `metadata.name`."""

    path: str


Environment = Mapping[str, str | SecretRef | PodField]
"""Environment variables of a container by name. Order counts: `$(NAME)` refers to one that stands before."""


def text(value: str | float | list[str]) -> str:
    """A value as the text of an environment variable: `true` and `false`, and lists with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
