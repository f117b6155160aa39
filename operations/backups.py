"""Backup sets of a deployed stack: taken now, listed, verified, removed. docs/decisions/backup-sets.md explains them.

All work is done by Jobs in the cluster, which have the keys of the bucket. A command starts them from the CronJobs of
the stack and reads what they print, so an operator's machine needs neither a key nor a way to the object store.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from operations import cluster_identity, jobs, sources
from operations.cluster import Cluster
from operations.errors import OperationError
from operations.pulumi import Pulumi
from operations.sources import Source
from operations.writers import Writers

Json = Mapping[str, Any]
Say = Callable[[str], None]

BACKUP_CLICKHOUSE: Final = "langfuse-backup-clickhouse"
BACKUP_POSTGRES: Final = "langfuse-backup-postgres"
RETENTION: Final = "langfuse-retention"
VERIFY: Final = "langfuse-verify-backups"


class Removal(BaseModel):
    """What the retention Job removes, or would remove."""

    sets: list[str]
    backups: list[str]
    """Backups of ClickHouse."""


class Verdict(BaseModel):
    """What a verification or a drill found (components/backups/scripts/verify-backups.js)."""

    model_config = ConfigDict(extra="allow")

    ok: bool
    finished: str
    faults: list[str] = []


class BackupSet(BaseModel):
    """A folder of sets in the bucket, as components/backups/scripts/verify-backups.js lists it."""

    model_config = ConfigDict(extra="allow")

    id: str
    finished: str
    manifest: dict[str, Any] | None
    """docs/decisions/backup-sets.md describes it. None: the folder is no complete set."""
    verdicts: dict[str, Verdict]
    lacks: str | None
    """Why it can't be restored; None if nothing is known against it."""
    kept: bool


class Backups:
    """The backups of a stack."""

    def __init__(self, pulumi: Pulumi, say: Say) -> None:
        """Take the stack, and what prints progress.

        Raises:
            OperationError: The configuration names another cluster, or the stack is not deployed.
        """
        cluster_identity.check(pulumi)
        self.cluster, self._say = Cluster.of(pulumi), say
        self.writers = Writers(pulumi, self.cluster, say)
        self.namespace = self.writers.namespace

    def now(self) -> str:
        """Take a backup of ClickHouse, and a set that it belongs to. Returns the id of the set."""
        if jobs.find(self.cluster, "CronJob", BACKUP_CLICKHOUSE, self.namespace):
            self._run(BACKUP_CLICKHOUSE)
        else:
            self._say("ClickHouse is backed up by its provider")
        return str(_last(self._run(BACKUP_POSTGRES), of="id")["id"])

    def sets(self, source: Source | None = None) -> list[BackupSet]:
        """The sets, the newest first, with those that are not complete.

        Args:
            source: The copies to list, instead of the bucket of the stack.
        """
        log = self._run(sources.FETCH, **sources.listing(source)) if source else self._run(VERIFY, ACTION="list")
        found = [BackupSet.model_validate(one) for one in results(log, of="manifest")]
        return sorted(found, key=lambda one: one.finished, reverse=True)

    def verify(self, set_id: str) -> Verdict:
        """Read every file of a set back, and compare it with the manifest. An empty id means the newest set."""
        try:
            log = self._run(VERIFY, ACTION="verify", SET_ID=set_id)
        except jobs.JobFailedError as error:
            if not results(error.log, of="ok"):
                raise
            log = error.log  # it found a fault
        return Verdict.model_validate(_last(log, of="ok"))

    def prune(self, *, dry_run: bool) -> Removal:
        """Remove the sets that are not kept any more, or say which ones they are."""
        return Removal.model_validate(_last(self._run(RETENTION, DRY_RUN=str(dry_run).lower()), of="sets"))

    def _run(self, cron_job: str, **variables: str) -> str:
        declared = jobs.declared(self.cluster, "CronJob", cron_job, self.namespace)
        name = jobs.by_hand(cron_job)
        self._say(f"running Job {name} in namespace {self.namespace} ...")
        return jobs.run(self.cluster, jobs.from_cron_job(declared, name, variables), self._say)


def results(log: str, *, of: str) -> list[Json]:
    """The results that a Job printed for programs: lines of JSON objects with a key."""
    found = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [one for one in found if of in one]


def _last(log: str, *, of: str) -> Json:
    found = results(log, of=of)
    if not found:
        raise OperationError(
            "the Job printed no result: another release of this program deployed it; run `pulumi up` first"
        )
    return found[-1]
