"""`restore --into`: the command line, the Jobs that it starts, and their scripts, on the stores of two stacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from operations import sources
from operations.__main__ import app
from sandbox.images import probe_application
from tests.data.application.schemas import Schemas
from tests.data.backups.conftest import KEYS, GoodSet
from tests.data.backups.off_site import KEYS as OTHERS_KEYS
from tests.data.backups.off_site import PREFIXES, TARGET
from tests.data.backups.pods import BUCKET, MEDIA, NO_WARNING, clickhouse_client, objects, put
from tests.data.backups.test_fetch import PICTURES, with_media
from tests.data.containers import install_client, run
from tests.data.object_store.minio import Store, provision
from tests.data.postgres.server import PostgresServer
from tests.data.probe_application.installation import clickhouse
from tests.data.rendered import environment
from tests.servers import tool
from tests.unit.configuration import HOST
from tests.unit.operations.test_restore import FakeCluster, FakePulumi, World
from tests.unit.program import recorded

REAL = (sources.FETCH, "langfuse-restore-postgres", "langfuse-restore-clickhouse")
"""The CronJobs whose Jobs run. Others need web, or Redis."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


class Other(FakePulumi):
    """The former stack, which copies its sets to another store."""

    def __init__(self, copies: str) -> None:
        super().__init__("prod")
        self.copies = copies

    def settings(self) -> Mapping[str, Any]:
        """The stack file."""
        off_site = {"endpoint": self.copies, "bucket": TARGET, "secret": "off-site"}
        return {"langfuse:host": "langfuse.example.com", "langfuse:backups": {"offSite": off_site}}


@dataclass(kw_only=True)
class Stack:
    """The stores of the new stack, and what its Jobs start."""

    store: Store
    copies: Store
    databases: Schemas
    programs: Path
    folder: Path
    runs: int = 0

    def cron_jobs(self) -> dict[str, Any]:
        """The CronJobs as the program declares them."""
        place = {"endpoint": self.copies.url, "bucket": TARGET, "secret": "copies-of-prod"}
        recording = recorded("dev", {"host": HOST, "backups": {"importFrom": place}})
        return {name: recording.one("CronJob", name).inputs["spec"] for name in REAL}

    def run(self, job: Mapping[str, Any]) -> tuple[int, str]:
        """Run the containers of a Job's pod one after the other, until one fails. Returns the code and the logs."""
        pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
        self.runs += 1
        folder = self.folder / f"{self.runs}-{name}"
        volumes = {key: folder / key for key in ("work", "client")}
        for volume in volumes.values():
            volume.mkdir(parents=True)
        given = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.databases.postgres.port),
            "STORE_WAIT_SECONDS": "0",
            "WAIT_SECONDS": "30",
            "CLICKHOUSE_HOST": "127.0.0.1",
            "CLICKHOUSE_PORT": str(self.databases.clickhouse_ports["tcp_port"]),
            "WORK_DIR": str(volumes["work"]),
            "HOME": str(volumes["work"]),
            "TMPDIR": str(volumes["work"]),
            "CLIENT_DIR": str(volumes["client"]),
            **{key: KEYS[key] for key in ("ENCRYPTION_KEY", "SALT")},
        }
        output, node = "", {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            references = {one["name"]: one.get("valueFrom", {}).get("secretKeyRef", {}) for one in container["env"]}
            others = {"copies-of-prod", sources.IDENTITY}
            outside = {key: ref for key, ref in references.items() if ref.get("name") in others}
            theirs = {key: OTHERS_KEYS[ref["key"]] for key, ref in outside.items() if ref["key"] in OTHERS_KEYS}
            own = {**container, "env": [one for one in container["env"] if one["name"] not in outside]}
            address = {} if "ACCESS_KEY_ID" in theirs else {"STORE_URL": self.store.url}
            known = {one["name"] for one in own["env"]}
            variables = {key: value for key, value in {**given, **address}.items() if key in known}
            done = run(own, {**environment(own, **variables), **theirs, **node}, self.programs)
            output += done.output
            if done.code:
                return done.code, output
        return 0, done.output


class Cluster(World):
    """A cluster in which the Jobs of restores run."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack
        for name, spec in stack.cron_jobs().items():
            self.add("CronJob", name, spec)

    def start(self, job: dict[str, Any]) -> None:
        """What the Job does, at once."""
        name = job["metadata"]["name"]
        if [one["name"] for one in job["spec"]["template"]["spec"]["containers"]] == ["main"]:
            return super().start(job)
        self.ran.append(name)
        code, self.logs[name] = self.stack.run(job)
        if code:
            self.fails.add(name)
        job["status"] = {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}
        return None


@pytest.fixture
def stack(made: GoodSet, postgres: PostgresServer, make_store: Callable[[], Store], tmp_path: Path) -> Iterator[Stack]:
    """A deployed stack with rows of its own, and a store with the copies of another stack."""
    stores = [make_store(), make_store()]
    for number, store in enumerate(stores):
        (tmp_path / f"provisioning-{number}").mkdir()
        assert provision(store, tmp_path / f"provisioning-{number}").code == 0
    fresh, copies = stores
    put(copies, TARGET, {f"{PREFIXES['PREFIX']}{key}": content for key, content in with_media(made).items()})
    put(copies, TARGET, {f"{PREFIXES['MEDIA_PREFIX']}{key}": content for key, content in PICTURES.items()})
    programs = clickhouse_client(tmp_path / "client")
    install_client(programs, "rclone", tool("rclone"))
    for one in postgres.clients.iterdir():
        if one.name != "command-lines":
            install_client(programs, one.name, one)
    clean = Path("components/backups/scripts/drop-everything.sql").read_text()
    postgres.query(f"{clean}; CREATE TABLE projects AS SELECT 1 AS id")
    (tmp_path / "clickhouse").mkdir()
    with clickhouse(tmp_path / "clickhouse", BACKUPS_URL=f"{fresh.url}/{BUCKET}/") as ports:
        databases = Schemas(folder=tmp_path / "release", postgres=postgres, clickhouse_ports=ports)
        yield Stack(store=fresh, copies=copies, databases=databases, programs=programs, folder=tmp_path)
    postgres.query(clean)


def test_a_stack_moves_into_another_one_by_the_command_of_the_runbook(
    made: GoodSet, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, postgres = Cluster(stack), stack.databases.postgres
    pulumi = {"prod": Other(stack.copies.url), "prod-eu": FakePulumi("prod-eu")}
    monkeypatch.setattr("operations.cluster.Cluster.of", staticmethod(lambda _: FakeCluster(cluster)))
    monkeypatch.setattr("operations.cluster_identity.check", lambda _: None)
    monkeypatch.setattr("operations.commands.restore.Pulumi", lambda name, _=None: pulumi[name])

    def command(*options: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, ["restore", "--stack", "prod", "--into", "prod-eu", *options])
        assert done.exit_code == code, done.output
        return done

    assert "refused: postgres: the database has 1 rows in 1 tables" in command("--plan", code=1).output
    plan = command("--plan", "--overwrite").output
    assert f"Set {made.id}, begun" in plan
    assert "It is copied from the off-site copy of langfuse-prod-backups first, with its media." in plan
    assert "Move: integrations, webhooks and evaluations work here too. Stop prod first, or pass --clone." in plan
    assert postgres.query("SELECT count(*) FROM projects") == "1", "a plan changes nothing"
    assert not objects(stack.store)
    assert ("ConfigMap", "langfuse-restore") not in cluster.objects

    report = json.loads(command("--overwrite", "--yes", "--json").stdout)
    assert (report["set"], report["stores"]) == (made.id, ["postgres", "clickhouse"])
    assert ("ConfigMap", "langfuse-restore") not in cluster.objects, "the restore has ended"
    assert all(cluster.replicas.values()), "web and worker run again"
    assert postgres.query('SELECT count(*) FROM "Account"') == "100"
    assert postgres.query("SELECT to_regclass('projects') IS NULL") == "t"
    assert postgres.query("SELECT count(*) FROM llm_api_keys") == "2", "a move keeps the keys"
    assert postgres.query("SELECT bucket_name FROM media") == MEDIA, "media are found in the bucket of this stack"
    rows = stack.databases.clickhouse("SELECT count() FROM traces")
    assert rows == str(made.manifest["clickhouse"]["rows"]["default.traces"])
    sums = {key: hashlib.sha256(content).hexdigest() for key, content in objects(stack.store, bucket=MEDIA).items()}
    assert sums == {key: hashlib.sha256(content).hexdigest() for key, content in PICTURES.items()}
    steps = [name.removeprefix("langfuse-restore-").removesuffix(f"-{made.id.lower()}") for name in cluster.ran]
    assert steps[-7:] == ["fetch", "postgres", "clickhouse", "migrations", "empty-redis", "first-start", "clients"]
