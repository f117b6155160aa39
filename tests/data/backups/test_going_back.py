"""The way back from a release that changed both schemas: the set from before the upgrade, and the former release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operations.backups import BackupSet, results
from operations.set_choice import choose
from tests.data.application.schemas import RECORDED, Schemas
from tests.data.backups.pods import BUCKET, Pod, clickhouse_client, manifests
from tests.data.containers import Run
from tests.data.object_store.minio import Store, provision
from tests.data.postgres.server import PostgresServer
from tests.data.probe_application.installation import clickhouse
from tests.http_server import Answer, serving

FORMER, NEWER = "4.82.0", "4.90.0"
ON = "ON CLUSTER default"
RESTORE = {"ACTION": "restore", "OVERWRITE": "true", "LANGFUSE_VERSION": FORMER}

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """The stores of an installation, and the migrations of two releases."""

    store: Store
    former: Schemas
    newer: Schemas
    clients: Path
    folder: Path

    def run(self, cron_job: str, name: str, kind: str = "CronJob", **variables: str) -> Run:
        """Run the pod of a CronJob or Job to its end."""
        postgres, known = self.former.postgres, self.former.variables
        address = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "STORE_URL": self.store.url,
            "WAIT_SECONDS": "30",
        }
        port = str(self.former.clickhouse_ports["tcp_port"])
        urls = {key: known[key] for key in ("DIRECT_URL", "CLICKHOUSE_URL")}
        database = self.clients if cron_job.endswith("clickhouse") else postgres.clients
        clients = {"rclone": self.store.clients, "postgres": postgres.clients, "clickhouse": self.clients}
        given = {**address, **urls, "CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": port}
        pod = Pod(kind=kind, cron_job=cron_job, clients={**clients, "database": database}, variables=given)
        return pod.run(self.folder / name, **variables)

    def passes(self, cron_job: str, name: str, **variables: str) -> str:
        done = self.run(cron_job, name, **variables)
        assert done.code == 0, done.output
        return done.output

    def before(self, release: Schemas, to: str, web: str) -> str:
        """Run the Job that takes a set before a release migrates, with the migrations of its image."""
        done = self.run(
            "langfuse-backup-before-upgrade",
            f"before-{to}",
            "Job",
            SHARED_DIR=str(release.folder / "shared"),
            LANGFUSE_VERSION=to,
            WEB_URL=web,
        )
        assert done.code == 0, done.output
        return done.output

    def sets(self, name: str) -> list[BackupSet]:
        """The sets as the command line gets them, the newest first."""
        listed = results(self.passes("langfuse-verify-backups", name, ACTION="list"), of="manifest")
        return sorted(map(BackupSet.model_validate, listed), key=lambda one: one.finished, reverse=True)

    def rows(self) -> dict[str, int]:
        """The rows of the tables that both manifests name."""
        projects = self.former.postgres.query("SELECT count(*) FROM projects")
        traces = self.former.clickhouse("SELECT count() FROM traces")
        return {"public.projects": int(projects), "default.traces": int(traces)}


def image(schemas: Schemas) -> Schemas:
    """Give the migrations the layout of Langfuse's image."""
    shared = schemas.folder / "shared"
    for link, target in (
        ("prisma/migrations", "postgres"),
        ("clickhouse/migrations/clustered", "clickhouse/clustered"),
    ):
        (shared / link).parent.mkdir(parents=True)
        (shared / link).symlink_to(schemas.folder / target)
    (shared / "scripts").mkdir()
    (shared / "scripts/cleanup.sql").touch()
    return schemas


@pytest.fixture
def upgrade(postgres: PostgresServer, make_store: Callable[[], Store], tmp_path: Path) -> Iterator[Upgrade]:
    store = make_store()
    for name in ("provisioning", "clickhouse", "former", "newer"):
        (tmp_path / name).mkdir()
    assert provision(store, tmp_path / "provisioning").code == 0
    clean = Path("components/backups/scripts/drop-everything.sql").read_text()
    postgres.query(clean)
    with clickhouse(tmp_path / "clickhouse", BACKUPS_URL=f"{store.url}/{BUCKET}/") as ports:
        former, newer = (
            Schemas(folder=tmp_path / name, postgres=postgres, clickhouse_ports=ports) for name in ("former", "newer")
        )
        table = f"CREATE TABLE traces {ON} (id String, name String) ENGINE = ReplicatedMergeTree ORDER BY id;"
        for release in (former, newer):
            release.release("postgres", a_first="CREATE TABLE projects (id text PRIMARY KEY, name text)")
            release.release("clickhouse", _0001_traces=table)
        newer.release("postgres", b_second="ALTER TABLE projects RENAME name TO title; CREATE TABLE added (id text);")
        changed = f"ALTER TABLE traces {ON} ADD COLUMN more String; ALTER TABLE traces {ON} DROP COLUMN name;"
        newer.release("clickhouse", _0002_more=changed)
        clients = clickhouse_client(tmp_path / "client")
        yield Upgrade(store=store, former=image(former), newer=image(newer), clients=clients, folder=tmp_path)
    postgres.query(clean)


def migrate(release: Schemas) -> None:
    for store in ("postgres", "clickhouse"):
        code, output = release.migrate(store)
        assert code == 0, output


def test_the_set_from_before_an_upgrade_leads_back_to_the_former_release(upgrade: Upgrade) -> None:
    former, newer, postgres = upgrade.former, upgrade.newer, upgrade.former.postgres
    migrate(former)
    postgres.query("INSERT INTO projects SELECT n::text, 'former' FROM generate_series(1, 300) AS n")
    former.clickhouse("INSERT INTO traces SELECT toString(number), 'former' FROM numbers(5000)")
    with serving(lambda _: Answer({"version": FORMER})) as web:
        assert f"a set is taken before Langfuse {NEWER} migrates, for a way back to {FORMER}" in upgrade.before(
            newer, NEWER, web
        )
    (manifest,) = manifests(upgrade.store, "sets/").values()
    assert (manifest["reason"], manifest["langfuse"], manifest["to"]) == ("before-upgrade", FORMER, NEWER)
    before = upgrade.rows()
    stored: dict[str, Any] = manifest["postgres"]["rows"] | manifest["clickhouse"]["rows"]
    assert before == {name: stored[name] for name in before} == {"public.projects": 300, "default.traces": 5000}

    migrate(newer)
    postgres.query("INSERT INTO projects (id, title) VALUES ('new', 'newer'); INSERT INTO added VALUES ('1')")
    newer.clickhouse("INSERT INTO traces (id, more) SELECT toString(number), 'newer' FROM numbers(70)")
    for store in ("clickhouse", "postgres"):
        upgrade.passes(f"langfuse-backup-{store}", f"after-{store}", LANGFUSE_VERSION=NEWER)
    assert "a schema is newer than this release" in upgrade.before(former, FORMER, "http://127.0.0.1:9")

    sets = upgrade.sets("list")
    chosen = choose(sets, set_id=None, at=None, release=FORMER)
    assert chosen.id == manifest["id"], "the set from before the upgrade, although a newer one exists"
    assert choose(sets, set_id=None, at=None, release=NEWER).id == sets[0].id != chosen.id
    refused = upgrade.run("langfuse-restore-postgres", "refused", SET_ID=sets[0].id, **RESTORE)
    assert f"the set is of Langfuse {NEWER}, and this is {FORMER}" in refused.output

    for store in ("postgres", "clickhouse"):
        upgrade.passes(f"langfuse-restore-{store}", f"restore-{store}", SET_ID=chosen.id, **RESTORE)
    assert upgrade.rows() == before
    migrate(former)  # as the command does next: nothing is left to migrate, and nothing is half applied
    assert postgres.query(RECORDED) == "a_first|t|f"
    assert postgres.query("SELECT count(*) FROM projects WHERE name = 'former'") == "300"
    assert former.clickhouse("SELECT version, dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1") == "1\t0"
    assert former.clickhouse("SELECT count() FROM traces WHERE name = 'former'") == "5000"

    migrate(newer)  # the next attempt of the upgrade
    assert postgres.query("SELECT count(*) FROM projects WHERE title = 'former'") == "300"
