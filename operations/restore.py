"""Restores a deployed stack from a backup set. docs/decisions/restores.md explains the steps.

Jobs in the cluster do the work (`components/backups/restores.py`). The command stops the writers, starts the Jobs one
after the other, and starts the writers again. A ConfigMap in the cluster says that a restore is under way, and owns its
Jobs: after a kill, the same command continues where it was.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from operations import backups, jobs, sources
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi
from operations.set_choice import choose, moment
from operations.sources import Source

Json = Mapping[str, Any]
Say = Callable[[str], None]
Store = Literal["postgres", "clickhouse", "media"]

STORES: Final[tuple[Store, ...]] = ("postgres", "clickhouse", "media")
"""In this order: Postgres last would lose projects that a trace names if somebody gives up in between."""

RECORD: Final = "langfuse-restore"
MIGRATIONS: Final = "langfuse-migrations"
FIRST_START: Final = "langfuse-first-start"
CLIENTS: Final = "langfuse-clients"
REPLAY: Final = "langfuse-replay-events"
VERSION_LABEL: Final = "app.kubernetes.io/version"
"""The label of pods with the release that they run."""

MIGRATED: Final = "migrated"
"""The key of the record that says that all stores are restored and migrated."""
STARTED: Final = "started on an empty target"
"""What the record says about a store before its Job is created. Rows that are found later are those of the restore."""
SUSPENDED: Final = (backups.BACKUP_CLICKHOUSE, backups.BACKUP_POSTGRES, backups.RETENTION)
"""CronJobs that must not run meanwhile: a set of half-restored stores would look complete."""


class Plan(BaseModel):
    """What a restore of one store would do (components/backups/scripts, `ACTION=plan`)."""

    model_config = ConfigDict(extra="allow")

    store: Store
    set: str
    rows: dict[str, tuple[int | None, int | None]] = {}
    """For each table, the rows that are there and those in the set. None: there is no such table."""
    refusals: list[str] = []
    """Why it can't be restored; empty if it can."""


class Restoration(BaseModel):
    """What is restored. It stays in the cluster while the restore is under way."""

    set: str
    begun: str
    """When the set was begun. What was written later is not in it."""
    stores: list[Store]
    overwrite: bool
    since: str | None = None
    """Raw events that were received since then are queued again; None to queue none. In ISO 8601."""
    source: Source | None = None
    """Where the set is copied from first; None if it is in the bucket of the stack."""

    @property
    def of_other(self) -> Source | None:
        """The source, if the set is one of another stack."""
        return self.source if self.source and self.source.stack else None


class Restore:
    """A restore of a stack."""

    def __init__(self, pulumi: Pulumi, say: Say) -> None:
        """Take the stack, and what prints progress.

        Raises:
            OperationError: The configuration names another cluster, or the stack is not deployed.
        """
        self._backups, self._say, self._pulumi = backups.Backups(pulumi, say), say, pulumi
        self._cluster, self._writers = self._backups.cluster, self._backups.writers
        self._namespace = self._backups.namespace

    def under_way(self) -> Restoration | None:
        """The restore that a killed command had begun; None if there is none."""
        record = self._cluster.get(self._record())
        return None if record is None else Restoration.model_validate_json(record["data"]["restore"])

    def source(self, other: Pulumi | None, *, clone: bool = False) -> Source:
        """The off-site copies of another stack, or without one those of the stack itself.

        Raises:
            OperationError: The stack does not read them, or can't be a clone.
        """
        return sources.source(self._pulumi, self._cluster, self._namespace, other, clone=clone)

    def planned(
        self,
        set_id: str | None,
        at: str | None,
        store: Store | Literal["all"],
        *,
        overwrite: bool,
        source: Source | None = None,
    ) -> tuple[Restoration, list[Plan]]:
        """Choose a set, and say what a restore from it would do. It changes nothing.

        Args:
            set_id: Id of a set.
            at: A time in ISO 8601: the newest set that was begun by then. Without both, the newest set.
            store: What to restore. `all`: every store that this stack backs up.
            overwrite: Whether to replace what the stores hold.
            source: Where to take a set from that is not in the bucket of the stack.

        Raises:
            OperationError: There is no such set, or it can't be restored.
        """
        release, running = self._releases()
        if release != running:
            self._say(f"going back from Langfuse {running} to {release}")
        if source and source.encrypted:
            self._say(f"the copies are encrypted: to copy a set, Secret {sources.IDENTITY} must have a private key")
        chosen = choose(self._backups.sets(source), set_id=set_id, at=at, release=release)
        stores = [one for one in STORES if self._found(f"langfuse-restore-{one}") is not None]
        if source:
            stores = [one for one in stores if one != "media"]  # they are copied with the set
        if store != "all":
            self._declared(store)
            stores = [store]
        manifest = chosen.manifest or {}
        clickhouse = (manifest["clickhouse"] or {}) if "clickhouse" in stores else {}
        wanted = Restoration(
            set=chosen.id,
            begun=manifest["started"],
            stores=stores,
            overwrite=overwrite,
            since=None if source and source.stack else clickhouse.get("started"),
            source=source,
        )
        elsewhere = {"MANIFEST": json.dumps(manifest)} if source else {}
        return wanted, [self._plan(wanted, one, elsewhere) for one in stores]

    def _plan(
        self, wanted: Restoration, store: Store, more: Mapping[str, str] | None = None, owner: Json | None = None
    ) -> Plan:
        name = f"langfuse-restore-{store}-plan"
        self._say(f"running Job {name} in namespace {self._namespace} ...")
        variables = {**_variables("plan", wanted, store), **(more or {})}
        job = jobs.from_cron_job(self._declared(store), name, variables, owner=owner)
        self._cluster.delete(job)
        found = backups.results(jobs.run(self._cluster, job, self._say), of="refusals")
        if not found:
            raise OperationError(f"Job {name} printed no plan; look at its log")
        return Plan.model_validate(found[-1])

    def carry_out(self, wanted: Restoration) -> Json:
        """Restore stores from a set, or continue after a kill. The application is stopped meanwhile.

        Returns:
            How many raw events were queued again and skipped; empty if none should be.

        Raises:
            OperationError: A step failed, or web and worker are of a newer release than the restored stores. The
                application stays stopped, and the same command continues.
        """
        record = self._begin(wanted)
        if MIGRATED not in record["data"]:
            self._restore_stores(wanted, record)
            self._cluster.patch(self._record(), {"data": {MIGRATED: "true"}})
        self._require_release()
        if wanted.of_other:
            self._settle_in(record)
        self._writers.start()
        replayed = self._replay(wanted.since, record) if wanted.since else {}
        self._end()
        return replayed

    def _restore_stores(self, wanted: Restoration, record: Json) -> None:
        if wanted.source:
            self._run(
                sources.FETCH, f"{RECORD}-fetch-{wanted.set.lower()}", sources.fetch(wanted.source, wanted.set), record
            )
            if wanted.source.encrypted:
                secret = f"kubectl -n {self._namespace} delete secret {sources.IDENTITY}"
                self._say(f"the copies are decrypted; remove the private key from the cluster: {secret}")
        started = self._started(record)
        self._writers.stop()
        for store in wanted.stores:
            name = f"langfuse-restore-{store}-{wanted.set.lower()}"
            job = jobs.from_cron_job(self._declared(store), name, _variables("restore", wanted, store), owner=record)
            if not (wanted.overwrite or store == "media" or store in started or self._done(job)):
                self._require_empty(wanted, store, record)
            self._say(f"restoring {store} ...")
            jobs.run(self._cluster, job, self._say)
        self._migrate(wanted.set, record)

    def _done(self, job: Json) -> bool:
        found = self._cluster.get(job)
        return found is not None and jobs.ended(found) == "Complete"

    def _started(self, record: Json) -> Sequence[str]:
        """The stores whose rows are those of this restore: none, if somebody has started the writers meanwhile."""
        found = [store for store in STORES if record["data"].get(store) == STARTED]
        if found and self._writers.running():
            self._cluster.patch(self._record(), {"data": dict.fromkeys(found)})
            return ()
        return found

    def _require_empty(self, wanted: Restoration, store: Store, record: Json) -> None:
        """Refuse a store with rows, now that nobody writes any more, and note that it had none.

        A Job that breaks off leaves rows in ClickHouse, or has committed those of Postgres, for the next attempt.
        """
        refusals = self._plan(wanted, store, owner=record).refusals
        if refusals:
            raise OperationError(
                f"{store} is not restored: {'; '.join(refusals)}. Web and worker are stopped. Run this command again, "
                "with --overwrite to replace the rows, or with --abandon to start the application with what is there"
            )
        self._cluster.patch(self._record(), {"data": {store: STARTED}})

    def _releases(self) -> tuple[str | None, str | None]:
        """The release of Langfuse that the last update was for, and the one that web runs. They differ if it failed."""
        job = jobs.find(self._cluster, "Job", MIGRATIONS, self._namespace)
        return _release(job), _release(self._writers.found("langfuse-web"))

    def _require_release(self) -> None:
        """Refuse to start web and worker with the stores of another release."""
        release, running = self._releases()
        if release != running:
            raise OperationError(
                f"the stores are restored and fit Langfuse {release}, but web and worker are stopped and of {running}: "
                "run `pulumi up`, and then this command again to finish"
            )

    def replay(self, since: str, *, dry_run: bool) -> Json:
        """Queue the raw events again that were received since a time.

        Args:
            since: A time in ISO 8601.
            dry_run: Whether to count them only.

        Returns:
            How many were seen, queued and skipped, and why.

        Raises:
            OperationError: The stack has no key of the admin API, or the Job failed.
        """
        at = moment(since).astimezone(UTC)
        variables = {"SINCE": at.isoformat(), "DRY_RUN": str(dry_run).lower(), "RUN": f"since-{at:%Y%m%dT%H%M%S.%fZ}"}
        return self._queue(jobs.by_hand(REPLAY), variables, owner=None)

    def _replay(self, since: str, record: Json) -> Json:
        if self._found(REPLAY) is None:
            self._say("raw events that are newer than the set are not queued again, for want of an ADMIN_API_KEY")
            return {}
        self._say(f"queueing the raw events again that were received since {since} ...")
        # Another Job of this restore continues after the keys that the former one has queued (replay-events.js).
        variables = {"SINCE": since, "DRY_RUN": "false", "RUN": f"restore-{record['metadata']['uid']}"}
        return self._queue(f"{RECORD}-replay", variables, owner=record)

    def _queue(self, name: str, variables: Mapping[str, str], owner: Json | None) -> Json:
        declared = jobs.declared(self._cluster, "CronJob", REPLAY, self._namespace)
        job = jobs.from_cron_job(declared, name, variables, owner=owner)
        found = backups.results(jobs.run(self._cluster, job, self._say), of="queued")
        return found[-1] if found else {}

    def _settle_in(self, record: Json) -> None:
        """Forget the jobs of the former data, and create the projects and keys of this stack again."""
        self._run(sources.EMPTY_REDIS, f"{RECORD}-empty-redis", {}, record)
        for name in (FIRST_START, CLIENTS):
            declared = jobs.find(self._cluster, "Job", name, self._namespace)
            if declared is not None:  # a stack without clients has no Job for them
                own = f"{RECORD}-{name.removeprefix('langfuse-')}"
                self._say(f"running Job {own} in namespace {self._namespace} ...")
                jobs.run(self._cluster, jobs.from_job(declared, own, owner=record), self._say)

    def _run(self, cron_job: str, name: str, variables: Mapping[str, str], record: Json) -> None:
        declared = jobs.declared(self._cluster, "CronJob", cron_job, self._namespace)
        self._say(f"running Job {name} in namespace {self._namespace} ...")
        jobs.run(self._cluster, jobs.from_cron_job(declared, name, variables, owner=record), self._say)

    def _migrate(self, set_id: str, record: Json) -> None:
        """Bring a set of an older release to the schema of this one, and check that no migration is half applied."""
        self._say("migrating ...")
        declared = jobs.declared(self._cluster, "Job", MIGRATIONS, self._namespace)
        name = f"{RECORD}-migrations-{set_id.lower()}"
        jobs.run(self._cluster, jobs.from_job(declared, name, owner=record), self._say)

    def _begin(self, wanted: Restoration) -> Json:
        """Note in the cluster that a restore is under way, and suspend the CronJobs that must not run meanwhile."""
        record = self._cluster.get(self._record())
        if record is None:
            active = [one["metadata"]["name"] for one in self._cron_jobs() if not one["spec"].get("suspend")]
            data = {"restore": wanted.model_dump_json(), "suspended": json.dumps(active)}
            record = self._cluster.create({**self._record(), "data": data})
        elif Restoration.model_validate_json(record["data"]["restore"]) != wanted:  # with --overwrite now
            self._cluster.patch(self._record(), {"data": {"restore": wanted.model_dump_json()}})
        for one in self._cron_jobs():
            self._cluster.patch(one, {"spec": {"suspend": True}})
            self._wait_for_runs(one)
        return record

    def abandon(self) -> None:
        """Give up a restore that is under way: stop its Jobs, and start the application with what the stores hold."""
        if self.under_way() is None:
            raise OperationError(f"no restore is under way in namespace {self._namespace}")
        if MIGRATED in (self._cluster.get(self._record()) or {}).get("data", {}):
            self._require_release()
        self._end()
        self._writers.start()

    def _end(self) -> None:
        record = self._cluster.get(self._record())
        suspended = json.loads(record["data"]["suspended"]) if record else ()
        for one in self._cron_jobs():
            if one["metadata"]["name"] in suspended:
                self._cluster.patch(one, {"spec": {"suspend": False}})
        self._cluster.delete(self._record())

    def _cron_jobs(self) -> Sequence[Json]:
        """The CronJobs of the stack that must not run during a restore."""
        return [one for one in map(self._found, SUSPENDED) if one is not None]

    def _found(self, name: str) -> Json | None:
        return jobs.find(self._cluster, "CronJob", name, self._namespace)

    def _wait_for_runs(self, cron_job: Json) -> None:
        """Wait until a backup that runs has ended."""
        deadline = time.monotonic() + cron_job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
        said = False
        while ((self._cluster.get(cron_job) or {}).get("status") or {}).get("active"):
            if not said:
                self._say(f"waiting until the run of {cron_job['metadata']['name']} has ended ...")
                said = True
            if time.monotonic() > deadline:
                raise OperationError(f"a run of {cron_job['metadata']['name']} does not end; delete its Job")
            time.sleep(1)

    def _declared(self, store: Store) -> Json:
        return jobs.declared(self._cluster, "CronJob", f"langfuse-restore-{store}", self._namespace)

    def _record(self) -> Json:
        return named_object("v1", "ConfigMap", RECORD, self._namespace)


def _variables(action: Literal["plan", "restore"], wanted: Restoration, store: Store) -> Mapping[str, str]:
    """The variables of a Job. Before it restores, the store was found empty. Media are only added."""
    rows = {} if store == "media" else {"OVERWRITE": str(wanted.overwrite or action == "restore").lower()}
    other = sources.restore(wanted.of_other, store) if wanted.of_other else {}
    return {"ACTION": action, "SET_ID": wanted.set, **rows, **other}


def _release(workload: Json | None) -> str | None:
    """The release in the labels of a workload's pods; None if it has none."""
    template = ((workload or {}).get("spec") or {}).get("template") or {}
    found = (template.get("metadata", {}).get("labels") or {}).get(VERSION_LABEL)
    return None if found is None else str(found)
