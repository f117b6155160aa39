"""Loses everything and restores it: the scripts of the Jobs on real stores, measured beside plain tools."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import redis

from components.kubernetes.jobs import FAULT_EXIT
from tests.data.backups import off_site
from tests.data.backups.pods import BUCKET, MEDIA, restore_pod, set_pod
from tests.data.rendered import secrets
from tests.drill import application, data, plain
from tests.drill.application import Application
from tests.drill.report import Race, Row
from tests.drill.stores import Contents, Rehearsal, RehearsalError, empty, sizes

POSTGRES_SHARE: Final = 50
"""How many times fewer rows a large table of Postgres gets than ClickHouse in total."""

SMALL_BYTES: Final = 4096
LARGE_BYTES: Final = 1024**2
LARGE_SHARE: Final = 100
"""One of how many media is large."""

RESTORED: Final = {"ACTION": "restore", "OVERWRITE": "false"}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much data there is, and what is measured."""

    rows: int
    """Of ClickHouse."""
    objects: int
    """Media."""
    events: int
    """That web accepts before the last backup of ClickHouse. Twice as many follow."""
    increments: int = 3
    """Backups of ClickHouse after the full one. Each has a tenth of the rows."""
    rounds: int = 3
    """How often each backup and each restore runs."""
    compared: bool = True
    """Whether plain tools run as well, and checks that other tests have."""

    @property
    def increment_rows(self) -> int:
        """Rows of ClickHouse in an increment."""
        return self.rows // 10

    @property
    def postgres_rows(self) -> int:
        """Rows of a large table of Postgres."""
        return max(100, self.rows // POSTGRES_SHARE)


@dataclass(kw_only=True)
class Drill:
    """One run: what is in the stores, and what was measured."""

    stores: Rehearsal
    size: Size
    races: dict[str, Race] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    """What the backups contain."""
    events: dict[str, str] = field(default_factory=dict)
    """All that web accepted."""
    kept: set[str] = field(default_factory=set)
    """Those that the last backup contains."""

    def race(
        self, tool: str, prepare: Callable[[], object], script: Callable[[], object], plain_tool: Callable[[], object]
    ) -> Race:
        """Let a plain tool and the scripts do the same in turn. The result of the scripts stays.

        Args:
            tool: Name of the plain tool.
            prepare: Runs before each of them.
            script: Runs the scripts.
            plain_tool: Runs the tool.
        """
        race = Race(tool=tool)
        for _ in range(self.size.rounds):
            if self.size.compared:
                prepare()
                with race.measure("plain", self.stores.say):
                    plain_tool()
            prepare()
            with race.measure("script", self.stores.say):
                script()
        return race


def rehearse(stores: Rehearsal, size: Size) -> Sequence[Row]:
    """Back up, lose and restore everything.

    Returns:
        What was measured.

    Raises:
        RehearsalError: A script failed, or something is not as it was.
    """
    drill = Drill(stores=stores, size=size)
    _load(drill)
    _back_up_clickhouse(drill)
    _back_up_postgres(drill)
    _copy_media(drill)
    if size.compared:
        stores.run(stores.pod("langfuse-verify-backups"))
        stores.say("every file of the set was verified")
    stores.drop_clickhouse()
    stores.drop_postgres()
    empty(stores.store, MEDIA)
    stores.say("both databases, the media and Redis are lost")
    _restore(drill)
    seconds = _replay(drill)
    return _rows(drill, seconds)


def _load(drill: Drill) -> None:
    """Create all tables, and fill them and the bucket of media."""
    stores, size = drill.stores, drill.size
    for statement in (*data.clickhouse_tables(), *application.clickhouse_tables()):
        stores.query(statement)
    first = size.rows - size.increments * size.increment_rows
    for statement in data.clickhouse_rows(first, seed=0):
        stores.query(statement)
    statements = [
        *(*data.postgres_tables(), *application.postgres_tables(), data.postgres_migrations()),
        *data.postgres_rows(size.postgres_rows, first=1),
    ]
    stores.postgres.query(";\n".join(statements))
    client = stores.store.client("media")

    def put(number: int) -> None:
        length = SMALL_BYTES if number % LARGE_SHARE else LARGE_BYTES
        content = hashlib.sha256(str(number).encode()).digest() * (length // 32)
        client.put_object(Bucket=MEDIA, Key=f"project-{number % 20}/{number}", Body=content)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(size.objects)))
    stores.say(f"loaded {first} rows of ClickHouse, {len(data.POSTGRES)} tables of Postgres and {size.objects} media")


def _back_up_clickhouse(drill: Drill) -> None:
    """Make a full backup, and increments. The last one is followed by events that no backup contains."""
    stores, size = drill.stores, drill.size
    pod = stores.pod("langfuse-backup-clickhouse", CLICKHOUSE_PASSWORD="password of backup")  # noqa: S106
    stores.say("full backups of ClickHouse:")
    drill.races["back up clickhouse"] = drill.race(
        "BACKUP",
        prepare=lambda: empty(stores.store, BUCKET),  # an increment would follow a backup
        script=lambda: stores.run(pod),
        plain_tool=lambda: plain.back_up_clickhouse(stores),
    )
    drill.races["back up clickhouse"].bytes = int(stores.newest("clickhouse/")["bytes"])

    def increment(number: int) -> None:
        for statement in data.clickhouse_rows(size.increment_rows, seed=number):
            stores.query(statement)
        stores.postgres.query(";\n".join(data.postgres_rows(size.postgres_rows // 10, first=number * 1_000_000)))
        begun = time.monotonic()
        stores.run(pod)
        stores.say(f"increment {number} of ClickHouse: {time.monotonic() - begun:.1f} s")

    for number in range(1, size.increments):
        increment(number)
    with application.serving(stores, "lost") as app:
        with app.installation.worker():
            app.send("kept", size.events)
            app.wait_for(app.sent)
            drill.kept = set(app.sent)
            increment(size.increments)
            drill.contents |= stores.clickhouse_contents()
            app.send("newer", size.events)
            app.wait_for(app.sent)
        app.send("queued", size.events)
        drill.events |= app.sent
    stores.say(f"{2 * size.events} events are newer, of which {size.events} are in Redis alone")


def _back_up_postgres(drill: Drill) -> None:
    stores = drill.stores
    stores.say("sets:")
    drill.races["back up postgres"] = drill.race(
        "pg_dump",
        prepare=lambda: None,
        script=lambda: stores.run(set_pod(stores.postgres, stores.store)),
        plain_tool=lambda: plain.dump(stores),
    )
    drill.races["back up postgres"].bytes = stores.dump_bytes()
    drill.contents |= stores.postgres_contents()


def _copy_media(drill: Drill) -> None:
    stores = drill.stores
    stores.say("copies of media:")
    drill.contents |= stores.media()
    drill.races["back up media"] = drill.race(
        "rclone copy",
        prepare=lambda: empty(stores.other, off_site.TARGET),
        script=lambda: stores.require(off_site.copy("media", stores.store, stores.other.url, stores.folder)),
        plain_tool=lambda: plain.copy_media(stores),
    )
    drill.races["back up media"].bytes = sum(sizes(stores.store, MEDIA).values())


def _restore(drill: Drill) -> None:
    """Restore all stores from the newest set, and compare everything with what it was."""
    stores = drill.stores
    if drill.size.compared:
        _require_refusal(stores)
    stores.say("restores of Postgres:")
    races = drill.races
    races["restore postgres"] = drill.race(
        "pg_restore",
        prepare=stores.drop_postgres,
        script=lambda: stores.run(restore_pod(stores.postgres, stores.store), **RESTORED),
        plain_tool=lambda: plain.restore_dump(stores),
    )
    races["restore postgres"].bytes = stores.dump_bytes()
    stores.say("restores of ClickHouse:")
    pod = stores.pod("langfuse-restore-clickhouse", CLICKHOUSE_PASSWORD="password of restore")  # noqa: S106
    races["restore clickhouse"] = drill.race(
        "RESTORE",
        prepare=stores.drop_clickhouse,
        script=lambda: stores.run(pod, **RESTORED),
        plain_tool=lambda: plain.restore_clickhouse(stores, stores.newest("clickhouse/")["id"]),
    )
    races["restore clickhouse"].bytes = stores.chain_bytes()
    stores.say("restores of media:")
    races["restore media"] = drill.race(
        "rclone copy",
        prepare=lambda: empty(stores.store, MEDIA),
        script=lambda: stores.require(off_site.restore(stores.folder, stores.store, stores.other, ACTION="restore")),
        plain_tool=lambda: plain.restore_media(stores),
    )
    races["restore media"].bytes = races["back up media"].bytes
    found = {**stores.clickhouse_contents(), **stores.postgres_contents(), **stores.media()}
    _require_same(drill.contents, found)
    stores.say(f"all {len(found)} tables and media are as they were, by count and hash")


def _replay(drill: Drill) -> float:
    """Queue newer events again, and compare all events with what web accepted. Returns the seconds that it took."""
    stores = drill.stores
    since = str(stores.newest("sets/")["clickhouse"]["started"])
    with application.serving(stores, "restored") as app, app.installation.worker():
        if (found := app.found()) != drill.kept:
            raise RehearsalError(f"{len(found)} events were restored, not {len(drill.kept)}")
        begun = time.monotonic()
        report = app.replay(stores, since)
        app.wait_for(drill.events)
        seconds = time.monotonic() - begun
        _require_processed(app)
    if report["skipped"] or report["queued"] < 1:
        raise RehearsalError(f"the replay reports {report}")
    lines = stores.query("SELECT trace_id, name FROM probe_events FINAL").splitlines()
    _require_same(drill.events, dict(line.split("\t") for line in lines))
    stores.say(f"{report['queued']} stored requests and events were queued again: all {len(lines)} events are there")
    return seconds


def _require_processed(app: Application) -> None:
    password = secrets()["langfuse-redis", "password"]
    queues = redis.Redis(port=app.installation.redis_port, password=password)
    if failed := queues.keys("*:failed"):
        raise RehearsalError(f"jobs failed: {failed}")


def _require_refusal(stores: Rehearsal) -> None:
    """A restore with other keys than those of the set is refused before anything is changed.

    Raises:
        RehearsalError: It is not.
    """
    pod = restore_pod(stores.postgres, stores.store)
    for key, other in (("ENCRYPTION_KEY", "0" * 64), ("SALT", "another")):
        done = pod.run(stores.folder / f"other-{key}", **{**RESTORED, key: other})
        if done.code != FAULT_EXIT or f"the set was made with another {key}" not in done.output:
            raise RehearsalError(f"another {key} is not refused: {done.output}")


def _require_same(before: Contents, after: Contents) -> None:
    different = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if different:
        raise RehearsalError(f"{len(different)} are not as they were, for example {', '.join(different[:5])}")


def _rows(drill: Drill, replay_seconds: float) -> Sequence[Row]:
    """The rows of the table."""
    races, newer = drill.races, 2 * drill.size.events
    fastest = {name: min(race.seconds["script"]) for name, race in races.items()}

    def row(store: str, name: str, rpo: str) -> Row:
        back_up, restore = f"back up {name}", f"restore {name}"
        shown = f"{rpo} + {fastest[back_up]:.0f} s"
        return Row(store=store, rpo=shown, rto=fastest[restore], backup=races[back_up], restore=races[restore])

    replayed = f"0 of {newer} newer events"
    return [
        row("Postgres", "postgres", "between two sets"),
        row("ClickHouse", "clickhouse", "between two backups"),
        Row(store="Redis and ClickHouse, by replay", rpo=replayed, rto=replay_seconds),
        row("Media", "media", "between two copies"),
    ]
