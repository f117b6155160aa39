"""`restore` and `backup`: the Jobs that they start, killed before and after each change of the cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from typer.testing import CliRunner

from components.backups.off_site import IDENTITY, identity_environment
from components.schema.application import ImportFrom
from operations import backups, jobs, restore, sources
from operations.__main__ import app as program
from operations.backups import BackupSet
from operations.cluster import Step
from operations.errors import OperationError
from operations.restore import RECORD, Restoration, Restore
from operations.set_choice import choose
from operations.sources import Source
from operations.writers import PAUSED, WRITERS
from tests.data.rendered import RECIPIENT
from tests.unit.operations.killed import Killable, KilledError

NAMESPACE = "langfuse-prod"
RELEASE = "4.82.0"
SET = "2026-11-26T02-15-00Z-k7fz"
BEGUN, CLICKHOUSE_BEGUN = "2026-11-26T02:15:00.000Z", "2026-11-26T00:45:00.000Z"
WANTED = Restoration(set=SET, begun=BEGUN, stores=["postgres", "clickhouse"], overwrite=True, since=CLICKHOUSE_BEGUN)

DECLARED = (restore.MIGRATIONS, restore.FIRST_START, restore.CLIENTS)
COPIES = {"OFF_SITE_STORE_URL": "https://s3.example.com", "OFF_SITE_BUCKET": "copies"}
OTHERS = Source(stack="prod", backups="langfuse-prod-backups", media="langfuse-prod-media", clone=True)
EMPTY = WANTED.model_copy(update={"overwrite": False})
CLONE = WANTED.model_copy(update={"since": None, "source": OTHERS})

Json = Mapping[str, Any]


def manifest(set_id: str = SET, started: str = BEGUN) -> dict[str, Any]:
    clickhouse = {"by": "job", "id": "2026-11-26T00-45-00Z-abcd", "started": CLICKHOUSE_BEGUN, "bytes": 2048}
    files = [{"name": "database.dump", "bytes": 4096, "sha256": "00"}]
    return {
        "id": set_id,
        "started": started,
        "finished": started,
        "langfuse": RELEASE,
        "clickhouse": clickhouse,
        "files": files,
    }


def listed(set_id: str = SET, started: str = BEGUN, lacks: str | None = None) -> BackupSet:
    return BackupSet(
        id=set_id, manifest=manifest(set_id, started), finished=started, verdicts={}, kept=True, lacks=lacks
    )


DEPLOYMENTS = (*WRITERS, "langfuse-worker-evaluations")
"""The Deployments that write, one of them a pool."""


class World(Killable):
    """A cluster with a deployed stack. Every change counts, and can be the last one of a command."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.replicas = dict.fromkeys(DEPLOYMENTS, 2)
        self.ran: list[str] = []
        self.running = RELEASE
        """The release that web runs."""
        self.variables: dict[str, dict[str, str]] = {}
        self.fails: set[str] = set()
        self.rows: dict[str, str] = {}
        """Whose rows a store holds. It is empty without."""
        for name in (*restore.SUSPENDED, backups.VERIFY, restore.REPLAY, "langfuse-restore-postgres"):
            self.add("CronJob", name, self.cron_job())
        self.add("CronJob", "langfuse-restore-clickhouse", self.cron_job())
        self.add("CronJob", sources.FETCH, self.cron_job(COPIES))
        self.add("CronJob", sources.EMPTY_REDIS, self.cron_job())
        for name in DECLARED:
            self.add("Job", name, {"template": self.template(), "selector": {}, "backoffLimit": 2})
        self.add("ScaledObject", "langfuse-worker", {})
        self.mail = False

    def template(self, given: Mapping[str, str] | None = None) -> dict[str, Any]:
        names = ("ACTION", "SET_ID", "OVERWRITE", "DRY_RUN", "SINCE", "RUN", "SETTLE_SECONDS")
        more = ("CLONE", "MANIFEST", "PREFIX", "MEDIA_PREFIX", "FORMER_MEDIA_BUCKET")
        env = [
            {"name": name, "value": value}
            for name, value in {**dict.fromkeys((*names, *more), ""), **(given or {})}.items()
        ]
        labels = {restore.VERSION_LABEL: RELEASE, "controller-uid": "1", "batch.kubernetes.io/job-name": "y"}
        return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "env": env}]}}

    def cron_job(self, given: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {
            "suspend": False,
            "jobTemplate": {"spec": {"activeDeadlineSeconds": 60, "template": self.template(given)}},
        }

    def add(self, kind: str, name: str, spec: Json) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
        self.objects[kind, name] = {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": {**spec}}

    def start(self, job: dict[str, Any]) -> None:
        """What the Job does, at once."""
        name = job["metadata"]["name"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {one["name"]: one["value"] for one in container["env"]}
        if name == "langfuse-restore-first-start":
            assert "langfuse-restore-empty-redis" in self.ran
        if name.startswith("langfuse-restore-") and variables["ACTION"] == "restore":
            assert not any(self.replicas.values()), "the application writes during a restore"
            assert self.paused, "KEDA would start workers again"
            assert all(self.objects["CronJob", one]["spec"]["suspend"] for one in restore.SUSPENDED)
        self.ran.append(name)
        self.variables[name] = variables
        self.logs[name] = self.output(name, variables)
        outcome = "Failed" if name in self.fails else "Complete"
        if f"-{SET.lower()}" in name and (store := name.split("-")[2]) in restore.STORES:
            assert variables["OVERWRITE"] == "true", (
                "the next attempt of its pod would refuse what this one left behind"
            )
            self.rows[store] = "the set" if outcome == "Complete" else "half of the set"
        job["status"] = {"conditions": [{"type": outcome, "status": "True"}]}

    def output(self, name: str, variables: Json) -> str:
        if variables["ACTION"] == "plan":
            plan = {"store": (store := name.split("-")[2]), "set": variables["SET_ID"], "rows": {"traces": [3, 2]}}
            refused = variables["OVERWRITE"] == "false" and store in self.rows
            return json.dumps({**plan, "refusals": ["the database has 3 rows"] if refused else []})
        if variables["ACTION"] == "list":
            return listed().model_dump_json()
        if "replay" in name:
            return json.dumps({"queued": 5, "skipped": 1, "since": variables["SINCE"]})
        return "done"

    def settled(self) -> bool:
        """Whether everything is as it was before, but for the data."""
        active = not any(self.objects["CronJob", name]["spec"]["suspend"] for name in restore.SUSPENDED)
        owned = [name for kind, name in self.objects if kind == "Job" and name not in DECLARED]
        started = all(self.replicas.values()) and not self.paused
        return active and not owned and ("ConfigMap", RECORD) not in self.objects and started

    @property
    def paused(self) -> bool:
        """Whether KEDA leaves the workers alone."""
        annotations = self.objects["ScaledObject", "langfuse-worker"]["metadata"].get("annotations", {})
        return bool(annotations.get(PAUSED) == "true")


class FakeCluster:
    """The API server, as far as the commands use it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def get(self, wanted: Json) -> Json | None:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        if kind == "Deployment":
            labels = {restore.VERSION_LABEL: self.world.running}
            env = [{"name": "SMTP_CONNECTION_URL"}] if self.world.mail else []
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "env": env}]}}
            return {"spec": {"replicas": self.world.replicas[name], "template": template}}
        found = self.world.objects.get((kind, name))
        return None if found is None else json.loads(json.dumps(found))

    def create(self, item: Json) -> Json:
        made = json.loads(json.dumps(item))
        made["metadata"]["uid"] = f"uid-{item['metadata']['name']}"

        def add() -> None:
            self.world.objects[item["kind"], item["metadata"]["name"]] = made
            if item["kind"] == "Job":
                self.world.start(made)

        self.world.change(add)
        return made  # type: ignore[no-any-return]

    def delete(self, item: Json) -> None:
        name = item["metadata"]["name"]

        def remove() -> None:
            self.world.objects.pop((item["kind"], name), None)
            for key, other in [*self.world.objects.items()]:
                if any(owner["name"] == name for owner in other["metadata"].get("ownerReferences", ())):
                    del self.world.objects[key]

        self.world.change(remove)

    def patch(self, item: Json, change: Json) -> None:
        found = self.world.objects[item["kind"], item["metadata"]["name"]]
        ((part, fields),) = change.items()
        merged = {key: value for key, value in {**found[part], **fields}.items() if value is not None}
        self.world.change(lambda: found.update({part: merged}))

    def scale(self, item: Json, replicas: int) -> None:
        self.world.change(lambda: self.world.replicas.update({item["metadata"]["name"]: replicas}))

    def pod_names(self, namespace: str, selector: str) -> list[str]:
        assert namespace == NAMESPACE
        assert selector
        return []

    def steps(self, job: Json) -> list[Step]:
        name = job["metadata"]["name"]
        return [Step("pod", "main", runs=False, failed=name in self.world.fails, log=self.world.logs[name])]

    def pod_reason(self, job: Json) -> str:
        return f"the pod of {job['metadata']['name']} does not run"


class FakePulumi:
    def __init__(
        self, stack: str = "prod", endpoint: str = COPIES["OFF_SITE_STORE_URL"], recipients: Sequence[str] = ()
    ) -> None:
        self.stack, self.endpoint, self.recipients = stack, endpoint, recipients

    def settings(self) -> Json:
        """The stack file."""
        copies: dict[str, object] = {"endpoint": self.endpoint, "bucket": COPIES["OFF_SITE_BUCKET"]}
        copies |= {"secret": "off-site", "recipients": [*self.recipients]}
        file = {"host": "langfuse.example.com", "license": {"key": "x"}, "backups": {"offSite": copies}}
        return {f"langfuse:{key}": value for key, value in file.items()}

    def objects(self) -> list[Json]:
        scaled: Json = {"kind": "ScaledObject", "metadata": {"name": "langfuse-worker", "namespace": NAMESPACE}}
        return [
            *(
                {"kind": "Deployment", "metadata": {"name": one, "namespace": NAMESPACE}, "spec": {"replicas": 2}}
                for one in DEPLOYMENTS
            ),
            scaled,
        ]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("operations.cluster.Cluster.of", staticmethod(lambda _: FakeCluster(made)))
    monkeypatch.setattr("operations.cluster_identity.check", lambda _: None)
    return made


def restoring(said: list[str] | None = None, stack: str = "prod") -> Restore:
    return Restore(FakePulumi(stack), (said if said is not None else []).append)  # type: ignore[arg-type]


def test_a_restore_stops_writers_and_backups_restores_migrates_replays_and_starts_again(world: World) -> None:
    replayed = restoring().carry_out(WANTED)
    suffix = SET.lower()
    assert world.ran == [
        f"langfuse-restore-postgres-{suffix}",
        f"langfuse-restore-clickhouse-{suffix}",
        f"langfuse-restore-migrations-{suffix}",
        "langfuse-restore-replay",
    ]
    assert replayed == {"queued": 5, "skipped": 1, "since": CLICKHOUSE_BEGUN}
    assert world.settled()


def test_a_clone_is_fetched_restored_cleaned_and_gets_its_own_first_user_before_it_starts(world: World) -> None:
    assert restoring().carry_out(CLONE) == {}
    suffix = SET.lower()
    assert world.ran == [
        f"langfuse-restore-fetch-{suffix}",
        f"langfuse-restore-postgres-{suffix}",
        f"langfuse-restore-clickhouse-{suffix}",
        f"langfuse-restore-migrations-{suffix}",
        "langfuse-restore-empty-redis",
        "langfuse-restore-first-start",
        "langfuse-restore-clients",
    ]
    fetched = world.variables[world.ran[0]]
    places = {"PREFIX": "langfuse-prod-backups/", "MEDIA_PREFIX": "langfuse-prod-media/"}
    assert fetched.items() >= {"ACTION": "fetch", "SET_ID": SET, "CLONE": "true", **places}.items()
    for name in world.ran[1:3]:
        assert world.variables[name]["CLONE"] == "true"
    assert world.variables[world.ran[1]]["FORMER_MEDIA_BUCKET"] == "langfuse-prod-media"
    assert world.settled()


def test_a_set_of_another_stack_is_planned_by_its_manifest(world: World) -> None:
    source = restoring(stack="staging").source(FakePulumi("prod"), clone=True)  # type: ignore[arg-type]
    assert source == OTHERS
    wanted, plans = restoring(stack="staging").planned(None, None, "all", overwrite=True, source=source)
    assert wanted == CLONE
    assert [one.store for one in plans] == ["postgres", "clickhouse"]
    for name in ("langfuse-restore-postgres-plan", "langfuse-restore-clickhouse-plan"):
        assert json.loads(world.variables[name]["MANIFEST"])["id"] == SET
        assert world.variables[name]["CLONE"] == "true"
    assert not any("fetch-" in name and "by-hand" not in name for name in world.ran)
    own = restoring().source(None)
    assert (own.stack, own.backups) == (None, "langfuse-prod-backups")
    wanted, _ = restoring().planned(SET, None, "all", overwrite=True, source=own)
    assert wanted.since == CLICKHOUSE_BEGUN


def test_a_stack_that_does_not_read_those_copies_or_sends_mail_is_no_target(world: World) -> None:
    def refusal(other: FakePulumi, *, clone: bool = False) -> str:
        with pytest.raises(OperationError) as error:
            restoring(stack="staging").source(other, clone=clone)  # type: ignore[arg-type]
        return str(error.value)

    assert "--into names the stack itself" in refusal(FakePulumi("staging"), clone=True)
    elsewhere = refusal(FakePulumi("prod", "https://s3.example.org"))
    assert (
        "reads the copies in https://s3.example.com/copies, and those of prod are in https://s3.example.org"
        in elsewhere
    )
    world.mail = True
    assert "stack staging sends mail, and a clone has the addresses of all users" in refusal(FakePulumi(), clone=True)
    assert restoring(stack="staging").source(FakePulumi(), clone=False).clone is False  # type: ignore[arg-type]
    del world.objects["CronJob", sources.FETCH]
    assert f"there is no CronJob {sources.FETCH}" in refusal(FakePulumi())


def test_encrypted_copies_need_a_job_that_decrypts_and_then_the_private_key_goes(world: World) -> None:
    encrypted = FakePulumi("prod", recipients=[RECIPIENT])
    with pytest.raises(OperationError, match=r"set langfuse:backups\.importFrom\.encrypted to true"):
        restoring(stack="staging").source(encrypted)  # type: ignore[arg-type]
    world.add("CronJob", sources.FETCH, world.cron_job({**COPIES, sources.AGE_IDENTITY: ""}))
    source = restoring(stack="staging").source(encrypted)  # type: ignore[arg-type]
    assert source.encrypted
    said: list[str] = []
    restoring(said, stack="staging").planned(None, None, "all", overwrite=True, source=source)
    assert f"Secret {sources.IDENTITY} must have a private key" in "\n".join(said)
    restoring(said, stack="staging").carry_out(CLONE.model_copy(update={"source": source}))
    assert f"kubectl -n {NAMESPACE} delete secret {sources.IDENTITY}" in "\n".join(said)


def test_events_of_a_restore_are_queued_from_where_its_former_job_broke_off(world: World) -> None:
    world.fails = {"langfuse-restore-replay"}
    with pytest.raises(OperationError, match="langfuse-restore-replay failed"):
        restoring().carry_out(WANTED)
    run = world.variables["langfuse-restore-replay"]["RUN"]
    world.fails = set()
    restoring().carry_out(WANTED)
    assert world.ran.count("langfuse-restore-replay") == 2
    assert world.variables["langfuse-restore-replay"]["RUN"] == run == f"restore-uid-{RECORD}"


def test_the_private_key_has_the_name_that_the_pods_read() -> None:
    assert sources.IDENTITY == IDENTITY
    assert sources.AGE_IDENTITY in identity_environment(ImportFrom.model_construct(encrypted=True))


@pytest.mark.parametrize("wanted", [WANTED, CLONE, EMPTY], ids=["own", "clone", "empty"])
def test_a_restore_that_was_killed_anywhere_is_continued(world: World, wanted: Restoration) -> None:
    restoring().carry_out(wanted)
    for last in range(world.changes):
        for half in (0, 0.5):
            again = World()
            world.__dict__.update(again.__dict__)
            world.last = last + half
            with pytest.raises(KilledError):
                restoring().carry_out(wanted)
            world.last = None
            command = restoring()
            begun = command.under_way()
            if begun is not None:
                assert begun == wanted
            elif world.rows and not wanted.overwrite:
                assert world.settled(), "it had ended"
                continue
            command.carry_out(begun or wanted)
            assert world.settled(), f"killed at change {last + half}"
            steps = [name for name in world.ran if begun is not None and not name.endswith("-plan")]
            assert len(steps) == len(set(steps)), "a step ran twice"


def test_a_restore_whose_job_failed_leaves_the_application_stopped_and_runs_the_job_again(world: World) -> None:
    failing = f"langfuse-restore-clickhouse-{SET.lower()}"
    world.fails = {failing}
    world.output = lambda *_: "reading\nrestore-clickhouse: clickhouse/x is damaged"  # type: ignore[method-assign]
    with pytest.raises(OperationError, match=f"{failing} failed in main: restore-clickhouse: clickhouse/x is damaged"):
        restoring().carry_out(WANTED)
    assert not any(world.replicas.values())
    world.fails = set()
    restoring().carry_out(WANTED)
    assert world.ran.count(failing) == 2
    assert world.ran.count(f"langfuse-restore-postgres-{SET.lower()}") == 1
    assert world.settled()


@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
def test_a_restore_of_empty_stores_that_broke_off_replaces_its_own_rows_and_no_others(world: World, store: str) -> None:
    """ClickHouse keeps half of the rows, and Postgres all of them if the pod was lost after the commit."""
    failing = f"langfuse-restore-{store}-{SET.lower()}"
    world.fails = {failing}
    with pytest.raises(OperationError, match=f"{failing} failed"):
        restoring().carry_out(EMPTY)
    assert world.rows[store] == "half of the set"
    world.replicas[WRITERS[0]] = 1  # somebody starts web by hand, which writes
    with pytest.raises(OperationError, match=f"{store} is not restored: the database has 3 rows. Web and worker are"):
        restoring().carry_out(EMPTY)
    assert world.ran.count(failing) == 1
    world.fails = set()
    restoring().carry_out(WANTED)  # with --overwrite
    assert world.rows == {"postgres": "the set", "clickhouse": "the set"}
    assert world.settled()

    world.__dict__.update(World().__dict__)
    world.fails = {failing}
    with pytest.raises(OperationError, match=f"{failing} failed"):
        restoring().carry_out(EMPTY)
    world.fails = set()
    restoring().carry_out(EMPTY)
    assert world.ran.count(failing) == 2
    assert world.settled()


def test_rows_that_came_after_the_plan_are_not_replaced(world: World) -> None:
    world.rows = {"clickhouse": "of users"}
    for _ in range(2):
        with pytest.raises(OperationError, match="clickhouse is not restored: the database has 3 rows"):
            restoring().carry_out(EMPTY)
    assert world.rows == {"postgres": "the set", "clickhouse": "of users"}
    restoring().abandon()
    assert world.settled()


def test_jobs_of_a_restore_stay_as_long_as_it_is_under_way(world: World) -> None:
    """Kubernetes deletes others some days after their end. A restore that is continued then would run them again."""
    record = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": RECORD, "uid": "1"}}
    ttl = "ttlSecondsAfterFinished"
    cron_job, job = world.objects["CronJob", restore.REPLAY], world.objects["Job", restore.MIGRATIONS]
    cron_job["spec"]["jobTemplate"]["spec"][ttl] = job["spec"][ttl] = 5
    assert jobs.from_cron_job(cron_job, "run", {})["spec"][ttl] == 5
    assert jobs.from_job(job, "again")["spec"][ttl] == jobs.KEEP_SECONDS
    assert ttl not in jobs.from_cron_job(cron_job, "run", {}, owner=record)["spec"]
    assert ttl not in jobs.from_job(job, "again", owner=record)["spec"]


def test_a_restore_can_be_given_up(world: World) -> None:
    world.fails = {f"langfuse-restore-postgres-{SET.lower()}"}
    with pytest.raises(OperationError):
        restoring().carry_out(WANTED)
    restoring().abandon()
    assert world.settled()
    with pytest.raises(OperationError, match=f"no restore is under way in namespace {NAMESPACE}"):
        restoring().abandon()


def test_going_back_starts_the_former_release_only_after_an_update(world: World) -> None:
    """The update to the former release failed, because the schemas are newer: web still runs the newer one."""
    world.running = "4.90.0"
    for _ in range(2):
        with pytest.raises(OperationError, match=r"fit Langfuse 4.82.0, but web and worker are stopped and of 4.90.0"):
            restoring().carry_out(WANTED)
        assert not any(world.replicas.values()), "the newer release would write with the older schema"
    with pytest.raises(OperationError, match="run `pulumi up`, and then this command again"):
        restoring().abandon()
    assert len(world.ran) == len(set(world.ran)) == 3
    world.running, world.replicas = RELEASE, dict.fromkeys(DEPLOYMENTS, 2)  # pulumi up
    stopped: list[str] = []
    assert restoring(stopped).carry_out(WANTED)["queued"] == 5
    assert not [line for line in stopped if line.startswith("stopping")]
    assert world.settled()


def test_going_back_takes_the_newest_set_that_the_release_can_read() -> None:
    sets = [listed(name, f"2026-11-2{9 - number}T02:00:00.000Z") for number, name in enumerate("dcba")]
    for one, langfuse in zip(sets, ("4.90.0", None, "4.9.0", "4.82.0"), strict=True):
        assert one.manifest
        one.manifest["langfuse"] = langfuse
    assert choose(sets, set_id=None, at=None, release="4.82.0").id == "c", "web did not say what it ran"
    assert choose(sets[2:], set_id=None, at=None, release="4.82.0").id == "b"
    assert choose(sets, set_id="d", at=None, release="4.82.0").id == "d", "the Job refuses it, and says why"
    with pytest.raises(OperationError, match=r"no set can be restored with Langfuse 3.225.9; the sets are d, b"):
        choose([sets[0], sets[2]], set_id=None, at=None, release="3.225.9")


def test_going_back_takes_no_set_of_an_upgrade_that_failed_half_way() -> None:
    """Postgres was migrated and ClickHouse was not. Sets of that time state the former release."""
    sets = [listed(name, f"2026-11-2{9 - number}T02:00:00.000Z") for number, name in enumerate("dcba")]
    for one, applied, version, unfinished in zip(sets, (12, 12, 10, 10), (40, 40, 40, 40), "-x--", strict=True):
        assert one.manifest
        schema = {"applied": applied, "unfinished": ["x"] if unfinished == "x" else []}
        one.manifest |= {"postgres": {"schema": schema}, "langfuse": "4.82.0"}
        one.manifest["clickhouse"] |= {"schema": {"version": version, "dirty": False}}
    before = sets[2].manifest
    assert before
    before |= {"reason": "before-upgrade", "to": "4.90.0"}
    assert choose(sets, set_id=None, at=None, release="4.82.0").id == "b"
    assert choose(sets, set_id=None, at=None, release="4.90.0").id == "d", "without a migration that is half applied"
    assert choose(sets[1:], set_id=None, at=None, release="4.90.0").id == "b"
    before["to"] = "4.82.0"
    assert choose(sets, set_id=None, at=None, release="4.82.0").id == "d", "it was the upgrade to this release"


def test_events_are_queued_again_by_hand(world: World) -> None:
    found = restoring().replay("2026-11-26T08:30:00", dry_run=False)
    assert found["since"] == "2026-11-26T08:30:00+00:00"
    del world.objects["CronJob", restore.REPLAY]
    with pytest.raises(OperationError, match=f"there is no CronJob {restore.REPLAY} in namespace {NAMESPACE}"):
        restoring().replay(BEGUN, dry_run=True)
    assert restoring().carry_out(WANTED) == {}


def test_a_plan_changes_nothing_but_its_own_jobs(world: World) -> None:
    wanted, plans = restoring().planned(None, None, "all", overwrite=True)
    assert wanted == WANTED
    assert [(one.store, one.rows) for one in plans] == [
        ("postgres", {"traces": (3, 2)}),
        ("clickhouse", {"traces": (3, 2)}),
    ]
    assert all(world.replicas.values())
    assert not any(world.objects["CronJob", name]["spec"]["suspend"] for name in restore.SUSPENDED)
    assert ("ConfigMap", RECORD) not in world.objects


def test_programs_can_read_what_each_command_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = {"sets": ["old"], "backups": ["older"]}

    def output(name: str, variables: Json) -> str:
        if backups.BACKUP_POSTGRES in name:
            return json.dumps({"id": SET})
        return json.dumps(removal) if backups.RETENTION in name else World.output(world, name, variables)

    world.add("CronJob", backups.VERIFY, world.cron_job())
    monkeypatch.setattr(world, "output", output)
    monkeypatch.setattr("operations.commands.backups.Pulumi", lambda *_: FakePulumi())
    monkeypatch.setattr("operations.commands.restore.Pulumi", lambda *_: FakePulumi())

    def answer(*words: str) -> Any:  # noqa: ANN401  # JSON
        result = CliRunner().invoke(program, [*words, "--stack", "prod", "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert answer("backup", "now") == {"id": SET}
    assert answer("backup", "prune", "--dry-run") == removal
    assert [one["store"] for one in answer("restore", "--plan", "--overwrite")["plans"]] == ["postgres", "clickhouse"]
    world.fails = {"langfuse-restore-replay"}
    with pytest.raises(OperationError):
        restoring().carry_out(WANTED)
    assert answer("restore", "--plan") == {**WANTED.model_dump(), "plans": []}, "it is under way"


def test_a_cron_job_that_was_suspended_stays_so(world: World) -> None:
    world.objects["CronJob", backups.RETENTION]["spec"]["suspend"] = True
    restoring().carry_out(WANTED)
    assert [world.objects["CronJob", name]["spec"]["suspend"] for name in restore.SUSPENDED] == [False, False, True]


def test_a_job_by_hand_has_the_variables_and_none_of_the_controllers_labels(world: World) -> None:
    job = jobs.from_job(world.objects["Job", restore.MIGRATIONS], "again")
    assert job["spec"]["template"]["metadata"]["labels"] == {restore.VERSION_LABEL: RELEASE}
    assert "selector" not in job["spec"]
    cron_job = world.objects["CronJob", restore.REPLAY]
    made = jobs.from_cron_job(cron_job, "run", {"SINCE": BEGUN})
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert {"name": "SINCE", "value": BEGUN} in container["env"]
    with pytest.raises(OperationError, match="has no variable NEWER: another release of this program"):
        jobs.from_cron_job(cron_job, "run", {"NEWER": ""})


@pytest.mark.parametrize(
    ("set_id", "at", "expected"),
    [
        (None, None, "third"),
        ("first", None, "first"),
        (None, "2026-11-21T00:00:00+01:00", "first"),
        (None, "2026-11-25", "first"),
    ],
)
def test_the_set_that_is_meant(set_id: str | None, at: str | None, expected: str) -> None:
    sets = [
        listed("fourth", "2026-11-26T02:00:00.000Z", lacks="clickhouse/x is missing"),
        listed("third", "2026-11-25T02:00:00.000Z"),
        listed("second", "2026-11-21T02:00:00.000Z", lacks="its drill failed"),
        listed("first", "2026-11-20T02:00:00.000Z"),
    ]
    assert choose(sets, set_id=set_id, at=at).id == expected


@pytest.mark.parametrize(
    ("sets", "set_id", "at", "error"),
    [
        ([], None, None, "there is no complete set"),
        ([listed()], "2026", None, f"there is no set 2026; the newest ones are {SET}"),
        ([listed(lacks="clickhouse/x is missing")], SET, None, f"{SET} can't be restored: clickhouse/x is missing"),
        ([listed()], None, "2026-11-01", "no set was begun before 2026-11-01 and can be restored"),
        ([listed()], None, "yesterday", "'yesterday' is not a time; write it like 2026-11-26T08:30:00Z"),
    ],
)
def test_a_set_that_is_not_there(sets: list[BackupSet], set_id: str | None, at: str | None, error: str) -> None:
    with pytest.raises(OperationError, match=error):
        choose(sets, set_id=set_id, at=at)


def test_a_verdict_is_read_from_a_job_that_found_a_fault(world: World) -> None:
    verdict = {"ok": False, "finished": BEGUN, "faults": ["sets/x/database.dump is missing"]}
    taking = backups.Backups(FakePulumi(), [].append)  # type: ignore[arg-type]
    world.output = lambda *_: f"verifying\n{json.dumps(verdict)}\nverify-backups: set x can't be restored"  # type: ignore[method-assign]
    world.start = lambda job: World.start(world, job) or job["status"]["conditions"][0].update(type="Failed")  # type: ignore[func-returns-value,method-assign]
    assert taking.verify("").faults == ["sets/x/database.dump is missing"]
    world.output = lambda *_: "verify-backups: the store does not answer"  # type: ignore[method-assign]
    with pytest.raises(OperationError, match=r"the store does not answer|does not run"):
        taking.verify("")
