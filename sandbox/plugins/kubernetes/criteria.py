"""Which kinds of object are waited for, and when each is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.plugins.kubernetes import ready_core, ready_workloads
from sandbox.plugins.kubernetes.objects import Kind
from sandbox.plugins.kubernetes.readiness import Criterion

CRITERIA: Final[Mapping[tuple[str, str], Criterion]] = {**ready_core.CRITERIA, **ready_workloads.CRITERIA}


def criterion(kind: Kind) -> Criterion | None:
    """Return the criterion for objects of a kind, None for kinds that are ready as soon as they exist."""
    return CRITERIA.get((kind.group, kind.kind))
