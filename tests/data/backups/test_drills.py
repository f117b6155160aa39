"""The drills, with real stores: a good set is restored, and each fault is in a verdict."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.kubernetes.jobs import FAULT_EXIT
from components.stores.postgres.managed import initdb_arguments
from sandbox.folder import CHECKOUT
from sandbox.images import probe_application
from tests.data.backups.conftest import KEYS, NAMES, TABLES, GoodSet
from tests.data.backups.pods import NO_WARNING, set_pod
from tests.data.clickhouse.packed import address
from tests.data.containers import Run, install_client, run
from tests.data.postgres.server import PostgresServer, server_folder
from tests.data.rendered import config_map, environment, secrets, stack
from tests.servers import free_port, tool
from tests.unit.pods import containers

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

POSTGRES_PROGRAMS = ("initdb", "pg_ctl", "postgres", "psql", "pg_restore", "pg_controldata")


@dataclass(frozen=True, kw_only=True)
class Drill:
    """The pod of a drill: a folder for each of its volumes, and the programs of its images."""

    store: str
    good: GoodSet
    folder: Path
    variables: Mapping[str, str]
    programs: Mapping[str, Path]
    """Folders for PATH by the container."""
    user: str | None = None
    """Who runs the container that restores."""

    def run(self, *names: str, **replaced: str) -> Run:
        """Run containers in order until one fails; all that work with the set without names."""
        given = {
            "STORE_WAIT_SECONDS": "0",
            "STORE_URL": self.good.store.url,
            "WORK_DIR": str(self.folder / "work"),
            **self.variables,
            **replaced,
        }
        node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
        code, output, command_lines = 0, "", ""
        for one in containers(stack().one("CronJob", f"langfuse-drill-{self.store}")):
            if one["name"] not in (names or ("begin", "restore", "keys", "judge")):
                continue
            known = {item["name"] for item in one["env"]}
            variables = environment(one, **{name: value for name, value in given.items() if name in known})
            user = self.user if one["name"] == "restore" else None
            done = run(one, variables | node, self.programs.get(one["name"], self.folder), user=user)
            code, output, command_lines = done.code, output + done.output, command_lines + done.command_lines
            if code:
                break
        return Run(code=code, output=output, command_lines=command_lines)

    def verdict(self, *names: str, **replaced: str) -> tuple[Run, list[str]]:
        """Run containers, and return the faults in the verdict that the last one wrote."""
        done = self.run(*names, **replaced)
        assert done.code in {0, FAULT_EXIT}, done.output
        own = [value for name, value in KEYS.items() if name != "PUBLIC_KEY"]
        assert done.leaks([*own, *(value for (_, key), value in secrets().items() if "secret" in key)]) == []
        (verdict,) = [one for key, one in self.good.verdicts().items() if key.endswith(f"drill-{self.store}.json")]
        assert (verdict["ok"], verdict["check"]) == (done.code == 0, f"drill-{self.store}")
        faults: list[str] = verdict["faults"]
        return done, faults


@pytest.fixture
def postgres_drill(good: GoodSet, tmp_path: Path) -> Drill:
    made = server_folder(tmp_path / "pod")
    for name in ("work", "client", "programs"):
        (made.folder / name).mkdir()
        (made.folder / name).chmod(0o777)
    shutil.copy(tool("rclone"), made.folder / "client" / "rclone")
    for name in POSTGRES_PROGRAMS:
        install_client(made.folder / "programs", name, made.binaries / name)
    (made.folder / "programs" / "command-lines").touch()
    (made.folder / "programs" / "command-lines").chmod(0o666)
    release = subprocess.run([made.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    variables = {
        **KEYS,
        "CLIENT_DIR": str(made.folder / "client"),
        "PGDATA": str(made.data),
        "PGHOST": str(made.sockets),
        "POSTGRES_INITDB_ARGS": initdb_arguments(release.stdout.split()[2]),
    }
    programs = {"restore": made.folder / "programs"}
    user = made.user if isinstance(made.user, str) else None
    return Drill(store="postgres", good=good, folder=made.folder, variables=variables, programs=programs, user=user)


def test_a_dump_is_restored_and_its_keys_fit(postgres_drill: Drill) -> None:
    done, faults = postgres_drill.verdict()
    assert faults == [], done.output
    assert "5 tables were compared" in done.output
    assert "1 of 2 stored LLM keys can be decrypted" in done.output
    assert "the API key of the first start has the stored hash" in done.output
    assert not list((postgres_drill.folder / "volume").iterdir()), "nothing is left on the volume"

    # The same pod with other keys, and with a manifest that promises more.
    _, faults = postgres_drill.verdict("keys", "judge", SALT="another salt")
    assert faults == [
        "SALT is not the one that the set was made with",
        "the API key of the first start, hashed with SALT, is not what is stored",
    ]
    (postgres_drill.folder / "work" / "faults").write_text("")
    _, faults = postgres_drill.verdict("keys", "judge", ENCRYPTION_KEY="f" * 64)
    assert faults[:2] == [
        "ENCRYPTION_KEY is not the one that the set was made with",
        "ENCRYPTION_KEY decrypts none of 2 stored LLM keys",
    ]
    (postgres_drill.folder / "work" / "faults").write_text("")
    other = postgres_drill.run("keys", SECRET_KEY="sk-lf-rotated")  # noqa: S106  # of a test
    assert "has another secret than in the set" in other.output
    promised = json.loads((postgres_drill.folder / "work" / "set.json").read_text())
    promised["postgres"]["rows"] |= {"public.Account": 101, "public.lost": 1}
    (postgres_drill.folder / "work" / "set.json").write_text(json.dumps(promised))
    _, faults = postgres_drill.verdict("judge")
    assert faults == [
        "table public.Account has 100 rows after the restore, not 101",
        "table public.lost has 0 rows after the restore, not 1",
    ]
    (postgres_drill.folder / "work" / "rows").unlink()
    nothing = postgres_drill.run("judge")
    assert nothing.code == 1, "without rows, nothing was compared"
    assert "there is nothing to judge" in nothing.output


def test_a_dump_that_is_damaged_or_lost_has_a_verdict(postgres_drill: Drill) -> None:
    good, dump = postgres_drill.good, f"sets/{postgres_drill.good.id}/database.dump"
    content = bytearray(good.content[dump])
    content[-200] ^= 1
    good.put(dump, bytes(content))
    done, faults = postgres_drill.verdict()
    assert faults == [f"langfuse-dev-backups/{dump} differs from what was written"], done.output
    good.put(dump, good.content[dump][:-100])
    size = len(good.content[dump])
    _, faults = postgres_drill.verdict("begin", "judge")
    assert faults[:1] == [f"{dump} has {size - 100} bytes, not {size}"]
    good.delete(dump)
    (postgres_drill.folder / "work" / "restore-faults").unlink()
    done, faults = postgres_drill.verdict("begin", "restore", "keys", "judge")
    assert faults == [f"{dump} has no bytes, not {size}"]
    assert "initdb" not in done.command_lines, "nothing is restored"


def test_a_migration_that_was_interrupted_is_a_fault(
    postgres_drill: Drill, postgres: PostgresServer, tmp_path: Path
) -> None:
    good = postgres_drill.good
    postgres.query(f"{TABLES}; INSERT INTO _prisma_migrations VALUES ('3', NULL, '2026_broken', NULL)")  # noqa: S608  # our own values
    keys = {key: KEYS[key] for key in ("ENCRYPTION_KEY", "SALT")}
    done = set_pod(postgres, good.store).run(tmp_path / "set", **keys)
    postgres.query(f"DROP TABLE {NAMES}")
    assert done.code == 0, done.output
    _, faults = postgres_drill.verdict()
    assert faults == ["migration 2026_broken of Postgres was not finished"]


def test_a_drill_that_cannot_be_done_has_no_verdict(postgres_drill: Drill) -> None:
    good = postgres_drill.good
    assert postgres_drill.run("begin").code == 0
    away = postgres_drill.run("restore", STORE_URL=f"http://127.0.0.1:{free_port()}")
    assert away.code == 1
    assert "drill-postgres: cannot read langfuse-dev-backups/sets/" in away.output
    older = postgres_drill.run("begin", SERVER="9.6")
    assert older.code == 1
    assert "this stack has 9.6: only the same or a newer one restores it" in older.output
    good.delete(f"sets/{good.id}/.complete")
    empty = postgres_drill.run("begin")
    assert (empty.code, empty.output.count("\n")) == (1, 1)
    assert "has no set: no folder in sets/ has a .complete" in empty.output
    assert good.verdicts() == {}


@pytest.fixture
def clickhouse_drill(good: GoodSet, tmp_path: Path) -> Drill:
    """Its server is the packed one, with an address of its own and its data in a folder."""
    host, data = address(), tmp_path / "data"
    for name in ("work", "data", "programs", "config/config.d"):
        (tmp_path / name).mkdir(parents=True)
    files = config_map(next(item.name for item in stack().of("ConfigMap") if "drill-clickhouse-config" in item.name))
    for name, text in files.items():
        target = tmp_path / "config" / ("" if name in {"config.xml", "users.xml"} else "config.d") / name
        target.write_text(text.replace("/var/lib/clickhouse/", f"{data}/").replace("127.0.0.1", host))
    for name, module in (("clickhouse-server", "server"), ("clickhouse-client", "client")):
        script = tmp_path / module
        start = f"exec {sys.executable} -m sandbox.images.clickhouse.programs.{module}"
        script.write_text(f'#!/bin/sh\nexport PYTHONPATH={CHECKOUT}\n{start} "$@"\n')
        script.chmod(0o755)
        install_client(tmp_path / "programs", name, script)
    variables = {
        "BACKUPS_URL": f"{good.store.url}/langfuse-dev-backups/",
        "CONFIG_FILE": str(tmp_path / "config/config.xml"),
        "DATA_DIR": str(data),
        "CLICKHOUSE_HOST": host,
        "HOME": str(tmp_path),
        "WAIT_SECONDS": "30",
    }
    return Drill(
        store="clickhouse", good=good, folder=tmp_path, variables=variables, programs={"restore": tmp_path / "programs"}
    )


def test_a_chain_is_restored_into_a_server_with_a_keeper_in_it(clickhouse_drill: Drill) -> None:
    done, faults = clickhouse_drill.verdict()
    assert faults == [], done.output
    assert "2 tables were compared" in done.output
    assert not list((clickhouse_drill.folder / "data").iterdir()), "nothing is left on the volume"
    (clickhouse_drill.folder / "work" / "schema").write_text("46\t1\n")
    (clickhouse_drill.folder / "work" / "rows").write_text("default.traces\t10499\ndefault.schema_migrations\t1\n")
    _, faults = clickhouse_drill.verdict("judge")
    assert faults == [
        "table default.traces has 10499 rows after the restore, not 10500",
        "migration 46 of ClickHouse was not finished (schema_migrations is dirty)",
    ]


def test_a_damaged_chain_has_a_verdict(clickhouse_drill: Drill) -> None:
    good, folder = clickhouse_drill.good, clickhouse_drill.folder
    base = good.data(good.chain[0])
    name = base.removeprefix(f"{good.chain[0]}/")
    good.put(base, bytes(len(good.content[base])))
    _, faults = clickhouse_drill.verdict("begin", "judge")
    assert faults == [f"{good.chain[0]}: {name} was replaced"]
    good.delete(base)
    done, faults = clickhouse_drill.verdict()
    assert faults == [f"{good.chain[0]}: {name} is missing"]
    assert "clickhouse-server" not in done.command_lines, "nothing is restored"

    # What gets lost after the first look is found by the server.
    good.mend()
    assert clickhouse_drill.run("begin").code == 0
    good.delete(base)
    done, faults = clickhouse_drill.verdict("restore", "judge")
    assert len(faults) == 1, done.output
    assert faults[0].startswith(f"{good.chain[1]} can't be restored: ")
    assert not list((folder / "data").iterdir())


def test_a_server_that_does_not_start_leaves_no_verdict(clickhouse_drill: Drill) -> None:
    assert clickhouse_drill.run("begin").code == 0
    done = clickhouse_drill.run("restore", CONFIG_FILE="/nowhere/config.xml")
    assert done.code == 1
    assert "drill-clickhouse: the server of the drill ended: " in done.output
    assert clickhouse_drill.good.verdicts() == {}
