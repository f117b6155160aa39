"""Repairs a half-applied migration of a deployed stack. docs/decisions/repairs.md explains how.

A Job in the cluster looks and repairs (`components/application/repairs.py`), with the users of the migrations.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from operations import backups, cluster_identity, jobs, restore
from operations.cluster import Cluster
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]
Say = Callable[[str], None]
Store = Literal["postgres", "clickhouse"]
Assumption = Literal["applied", "not-applied"]

REPAIR: Final = "langfuse-repair-schema"


class Statement(BaseModel):
    """A statement of a migration, and whether it took effect."""

    sql: str
    effect: Literal["applied", "not-applied", "unknown"]
    why: str


class Found(BaseModel):
    """What the Job found in one store (components/application/scripts/repair-schema.js)."""

    model_config = ConfigDict(extra="allow")

    store: Store
    migration: str | None
    """The half-applied migration; None if there is none."""
    error: str | None = None
    """The error that the server reported to Prisma."""
    statements: list[Statement] = []
    repair: Literal["finish", "rerun", "continue"] | None = None
    cleanup: list[str] = []
    """Statements that the repair runs first."""
    remaining: list[str] = []
    """Statements of the migration that the repair runs."""
    refusal: str | None = None
    """Why it can't be repaired."""
    unclear: bool = False
    """Whether an assumption would help."""
    shown: str = ""
    """Names this state. The Job repairs no other one."""


class Repair:
    """The repairs of a stack."""

    def __init__(self, pulumi: Pulumi, say: Say) -> None:
        """Take the stack, and what prints progress.

        Raises:
            OperationError: The configuration names another cluster, or the stack is not deployed.
        """
        cluster_identity.check(pulumi)
        self._cluster, self._say = Cluster.of(pulumi), say
        named = (item["metadata"] for item in pulumi.objects() if item["kind"] == "CronJob")
        namespaces = [str(one["namespace"]) for one in named if one["name"] == REPAIR]
        if not namespaces:
            raise OperationError(f"stack {pulumi.stack} has no CronJob {REPAIR}; run `pulumi up` first")
        self._namespace = namespaces[0]

    def found(self, store: Store | Literal["all"], assume: Assumption | None) -> Sequence[Found]:
        """Look for half-applied migrations. It changes nothing.

        Args:
            store: Where to look.
            assume: What to take for the effect of statements that leave no trace.

        Raises:
            OperationError: A migration or a restore runs, or the Job failed.
        """
        return _found(self._run(ACTION="show", STORE=store, ASSUME=assume or ""))

    def carry_out(self, agreed: Found, assume: Assumption | None) -> Found:
        """Repair a migration as it was shown. Returns what is found after that: a store may have several.

        Raises:
            OperationError: A migration or a restore runs, the schema has changed since, or the Job failed.
        """
        log = self._run(ACTION="apply", STORE=agreed.store, ASSUME=assume or "", SHOWN=agreed.shown)
        return _found(log)[-1]

    def _run(self, **variables: str) -> str:
        self._require_quiet()
        declared = jobs.declared(self._cluster, "CronJob", REPAIR, self._namespace)
        name = jobs.by_hand(REPAIR)
        self._say(f"running Job {name} in namespace {self._namespace} ...")
        return jobs.run(self._cluster, jobs.from_cron_job(declared, name, variables), self._say)

    def _require_quiet(self) -> None:
        """Refuse while something else changes the schemas."""
        migrations = jobs.find(self._cluster, "Job", restore.MIGRATIONS, self._namespace)
        if migrations is not None and jobs.ended(migrations) is None:
            raise OperationError(f"Job {restore.MIGRATIONS} is still running; wait until it has ended")
        if self._cluster.get(named_object("v1", "ConfigMap", restore.RECORD, self._namespace)) is not None:
            raise OperationError("a restore is under way; finish it with `python -m operations restore`")


def _found(log: str) -> Sequence[Found]:
    found = [Found.model_validate(one) for one in backups.results(log, of="migration") if "repaired" not in one]
    if not found:
        raise OperationError("the Job printed no result; look at its log")
    return found
