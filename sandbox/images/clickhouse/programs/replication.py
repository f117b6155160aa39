"""Replays statements on the other replicas, because the engine of chdb can't replicate tables.

A replicated table is a table of the plain engine with a mark (`configuration.REPLICATED_MARK`). The mark also makes it
drop repeated blocks, as replicated tables do. A statement that changes such a table is run here, written to the log
(`log.py`) and acknowledged. The other replicas fetch it over the interserver port and run it: within milliseconds, or
when they are back. Without `insert_quorum`, ClickHouse acknowledges at the same point. ON CLUSTER statements take the
same way, and wait until all replicas have run them.

A replica on an empty volume starts with the vector of the others. When the startup probe of its pod creates a table
that others have, it copies the rows from one of them. Until then its delay is large, as for a real replica.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from sandbox.images.clickhouse.programs import errors, log, statements
from sandbox.images.clickhouse.programs.configuration import (
    ADMINISTRATOR,
    REPLICATED_MARK,
    Configuration,
    is_host_of,
)
from sandbox.images.clickhouse.programs.coordination import Coordination
from sandbox.images.clickhouse.programs.engine import DEFAULT_FORMAT, Engine, Result, Session, literal
from sandbox.images.clickhouse.programs.errors import StatementError
from sandbox.images.clickhouse.programs.peers import POLL_SECONDS, UNREACHABLE, Peer
from sandbox.images.clickhouse.programs.state import State
from sandbox.images.clickhouse.programs.statements import Statement, Table

RETRY_SECONDS = 0.5
ACTIVE_SECONDS = 2 * POLL_SECONDS
"""How long ago an active replica has asked for statements, at most."""

REGISTER_SECONDS = 2.0
SYNCHRONIZE_SECONDS = 30.0
KEEPER_SECONDS = 1.0
"""How long it remembers whether Keeper answers."""

ENTRY_SECONDS = 60.0
"""How long a statement of another replica is tried before it is left out."""

DDL_SECONDS = 180.0
"""The default of distributed_ddl_task_timeout (clickhouse.com/docs/operations/settings/settings)."""

TABLES_PATH = "/clickhouse/tables"

_DONE_BEFORE = frozenset({errors.TABLE_ALREADY_EXISTS, errors.DUPLICATE_COLUMN, errors.UNKNOWN_TABLE})
"""Errors of a statement that has been run before, or whose table this replica will copy."""

_COPY = "_copy"  # suffix of the table that rows are copied to first

logger = logging.getLogger("replication")


class Replication:
    """The replicated tables of this server."""

    def __init__(self, configuration: Configuration, engine: Engine, coordination: Coordination) -> None:
        """Read the state and the log. `start` connects to the other replicas."""
        self._configuration, self._engine, self._coordination = configuration, engine, coordination
        self._folder = configuration.folder / "replication"
        self.log = log.Log(self._folder / "log")
        self._file = self._folder / "state.json"
        found = State.read(self._file)
        self._is_new = found is None
        self._state = found or State.new(configuration.replica)
        self._peers = [Peer(host, configuration) for host in configuration.peers]
        self._state.vector = log.merged(self._state.vector, self.log.vector)
        self._writes = threading.RLock()
        self._changed = threading.Condition(self._writes)
        self._tables: dict[str, str] = {}
        self._acknowledged: dict[str, log.Vector] = {}
        self._seen: dict[str, float] = {}
        self._behind: dict[str, float] = {}
        self._keeper = (0.0, True)
        self._save()

    # What the server calls

    def start(self) -> None:
        """Register the tables, and follow the other replicas."""
        self._find_tables()
        if self._is_new:
            self._state.vector = log.merged(self._state.vector, self._vector_of_peers())
            self._save()
        for peer in self._peers:
            threading.Thread(target=self._follow, args=(peer,), daemon=True, name=f"follow {peer.host}").start()
        threading.Thread(target=self._register_and_copy, daemon=True, name="tables").start()

    def is_replicated(self, table: Table | None) -> bool:
        """Whether a table is replicated."""
        return table is not None and table.key in self._tables

    def write(self, statement: Statement, session: Session, output_format: str) -> Result:
        """Run a statement that changes a replicated table, and pass it on."""
        table = statement.table(session.database)
        key = table.key if table else ""
        if not self.keeper_answers():
            path = self._replica_path(self._tables.get(key, ""))
            message = f"Table is in readonly mode since its connection to Keeper is lost (replica path: {path})"
            raise StatementError.of(errors.TABLE_IS_READ_ONLY, message, "TABLE_IS_READ_ONLY")
        with self._writes:
            result = self._engine.run(statement.text, session, output_format)
            self._append(statement.text, session, key, definition=False)
        return result

    def define(self, statement: Statement, session: Session, output_format: str) -> Result:
        """Run a statement with ON CLUSTER on all replicas, and wait for them as ClickHouse does."""
        if not self.keeper_answers():
            raise errors.keeper_unavailable("no majority")
        local = statement.without_cluster().with_uuid().for_one_engine()
        table = local.table(session.database)
        with self._writes:
            result = self._engine.run(local.text, session, output_format)
            number = self._append(local.text, session, table.key if table else "", definition=True)
            self._find_tables()
        seconds = float(session.settings.get("distributed_ddl_task_timeout", DDL_SECONDS))
        missing = self._wait_for_peers(number, seconds)
        if missing:
            message = (
                f"Distributed DDL task is not finished on {len(missing)} of "
                f"{len(self._configuration.peers) + 1} hosts ({', '.join(missing)}). They are going to execute the "
                f"query in background. Was waiting for {seconds:g} seconds"
            )
            raise StatementError.of(errors.TIMEOUT_EXCEEDED, message, "TIMEOUT_EXCEEDED")
        # Each replica restores all rows of a backup. A server's replicas fetch them from the one that reads it.
        return result if statement.verb == "RESTORE" else self._cluster_result(output_format)

    def create(self, statement: Statement, session: Session, output_format: str) -> Result:
        """Create a replicated table on this replica only, and let it copy the rows of the others."""
        statements.check_uuid(statement)
        table = statement.table(session.database)
        nodes = self._coordination.nodes()
        path = self._replica_path(statement.uuid or "")
        if table and table.key not in self._tables and nodes.get(path, self._state.origin) != self._state.origin:
            message = f"Replica {path} already exists."
            raise StatementError.of(errors.REPLICA_ALREADY_EXISTS, message, "REPLICA_ALREADY_EXISTS")
        others = [node for node in nodes if node.startswith(path.rpartition("/")[0] + "/") and node != path]
        with self._writes:
            known = set(self._tables)
            result = self._engine.run(statement.for_one_engine().text, session, output_format)
            self._find_tables()
            if table and table.key in self._tables and table.key not in known:
                self._coordination.put(path, self._state.origin)
                if others:
                    self._state.pending.append(table.key)
                    self._save()
                    self._changed.notify_all()
        return result

    def definition_changed(self) -> None:
        """Look for replicated tables after a statement that may have created or dropped some."""
        with self._writes:
            before = dict(self._tables)
            self._find_tables()
            for key in before.keys() - self._tables.keys():
                with contextlib.suppress(StatementError):  # Keeper keeps the entry of a table that is gone
                    self._coordination.remove(self._replica_path(before[key]))

    def synchronize(self) -> None:
        """Wait until this replica has run what the others had run (SYSTEM SYNC REPLICA)."""
        wanted = self._vector_of_peers()
        with self._changed:
            self._changed.wait_for(lambda: self._has(wanted), timeout=SYNCHRONIZE_SECONDS)

    def drop_replica(self, name: str, table: Table | None) -> None:
        """Remove another replica from Keeper: of one table, or of all (SYSTEM DROP REPLICA)."""
        if name == self._configuration.replica:
            raise StatementError.of(305, "Can't drop local replica, please use `DROP TABLE`", "TABLE_WAS_NOT_DROPPED")
        for key, identifier in self._tables.items():
            if table is None or table.key == key:
                self._coordination.remove(f"{TABLES_PATH}/{identifier}/01/replicas/{name}")

    def keeper_answers(self) -> bool:
        """Whether a majority of Keepers answers."""
        checked, answer = self._keeper
        if time.monotonic() - checked > KEEPER_SECONDS:
            answer = self._coordination.reachable()
            self._keeper = (time.monotonic(), answer)
        return answer

    def status(self) -> list[dict[str, Any]]:
        """The rows of system.replicas."""
        read_only = not self.keeper_answers()
        with self._writes:
            oldest = min(self._behind.values(), default=0.0)
            missing = len(self._behind)
            active = 1 + sum(time.monotonic() - seen < ACTIVE_SECONDS for seen in self._seen.values())
            return [
                {
                    "database": key.partition(".")[0],
                    "table": key.partition(".")[2],
                    "is_leader": 1,
                    "can_become_leader": 1,
                    "is_readonly": int(read_only),
                    "is_session_expired": int(read_only),
                    "zookeeper_name": "default",
                    "zookeeper_path": f"{TABLES_PATH}/{identifier}/01",
                    "replica_name": self._configuration.replica,
                    "replica_path": self._replica_path(identifier),
                    "queue_size": missing + (key in self._state.pending),
                    "inserts_in_queue": missing + (key in self._state.pending),
                    "absolute_delay": self._delay(key, oldest, read_only=read_only),
                    "total_replicas": len(self._configuration.peers) + 1,
                    "active_replicas": active,
                }
                for key, identifier in sorted(self._tables.items())
            ]

    # What other replicas call

    def vector(self) -> log.Vector:
        """What this replica has run."""
        with self._writes:
            return dict(self._state.vector)

    def missing_of(self, peer: str, vector: log.Vector) -> Iterator[bytes]:
        """The statements that another replica has not run. Waits a few seconds for one."""
        with self._changed:
            self._acknowledged[peer], self._seen[peer] = vector, time.monotonic()
            self._changed.notify_all()
            if len(self._acknowledged) == len(self._configuration.peers):
                self.log.trim([*self._acknowledged.values(), self._state.vector])
        for file in self.log.missing(vector, wait_seconds=POLL_SECONDS):
            with contextlib.suppress(FileNotFoundError):  # trimmed meanwhile
                yield file.read_bytes()

    def snapshot(self, key: str) -> tuple[log.Vector, bytes]:
        """The rows of a table in the format Native, and which statements they contain."""
        with self._writes:
            if key not in self._tables or key in self._state.pending:
                raise StatementError.of(errors.UNKNOWN_TABLE, f"Table {key} does not exist", "UNKNOWN_TABLE")
            table = Table(*key.split(".", 1))
            rows = self._engine.run(f"SELECT * FROM {table.sql}", Session(user=ADMINISTRATOR), "Native").data  # noqa: S608  # quoted
            return self._state.content(key), rows

    # The rest is private

    def _append(self, text: str, session: Session, table: str, *, definition: bool) -> int:
        origin = self._state.origin
        number = self._state.vector.get(origin, 0) + 1
        self._state.vector[origin] = number
        if self._configuration.peers:
            entry = log.Entry(
                origin=origin,
                number=number,
                created=time.time(),
                table=table,
                definition=definition,
                database=session.database,
                settings=dict(session.settings),
                parameters=dict(session.parameters),
                text=text,
            )
            self.log.append(entry)
        self._save()
        return number

    def _save(self) -> None:
        self._state.write(self._file)

    def _vector_of_peers(self) -> log.Vector:
        vector: log.Vector = {}
        for peer in self._peers:
            with contextlib.suppress(*UNREACHABLE):
                vector = log.merged(vector, peer.vector())
        return vector

    def _find_tables(self) -> None:
        rows = self._engine.administrate(
            "SELECT concat(database, '.', name), toString(uuid) FROM system.tables WHERE endsWith(engine, 'MergeTree') "  # noqa: S608  # constants
            f"AND NOT endsWith(name, '{_COPY}') AND position(create_table_query, '{REPLICATED_MARK}') > 0"
        )
        self._tables = dict(cast("tuple[str, str]", line.split("\t")) for line in rows.splitlines())

    def _replica_path(self, identifier: str) -> str:
        return f"{TABLES_PATH}/{identifier}/01/replicas/{self._configuration.replica}"

    def _delay(self, key: str, oldest: float, *, read_only: bool) -> int:
        if read_only or key in self._state.pending:
            return int(time.time())  # since 1970: unknown
        return max(0, int(time.time() - oldest)) if oldest else 0

    def _has(self, vector: log.Vector) -> bool:
        return all(self._state.vector.get(origin, 0) >= number for origin, number in vector.items())

    def _wait_for_peers(self, number: int, seconds: float) -> list[str]:
        def missing() -> list[str]:
            done = [
                replica for replica, vector in self._acknowledged.items() if vector.get(self._state.origin, 0) >= number
            ]
            return [
                peer for peer in self._configuration.peers if not any(is_host_of(replica, peer) for replica in done)
            ]

        with self._changed:
            self._changed.wait_for(lambda: not missing(), timeout=seconds)
            return missing()

    def _cluster_result(self, output_format: str) -> Result:
        hosts = [self._configuration.replica, *self._configuration.peers]
        columns = (
            "host String, port UInt16, status Int64, error String, num_hosts_remaining UInt64, num_hosts_active UInt64"
        )
        rows = ", ".join(
            f"({literal(host)}, {self._configuration.native_port}, 0, '', {len(hosts) - index}, 0)"
            for index, host in enumerate(hosts, start=1)
        )
        return self._engine.run(
            f"SELECT * FROM values({literal(columns)}, {rows})",  # noqa: S608  # every value is a literal
            Session(user=ADMINISTRATOR),
            output_format,
        )

    # Following another replica

    def _follow(self, peer: Peer) -> None:
        while True:
            try:
                entries = peer.missing(self.vector())
            except UNREACHABLE as error:
                logger.debug("%s: %s", peer.host, error)
                self._behind.pop(peer.host, None)
                time.sleep(RETRY_SECONDS)
                continue
            for entry in entries:
                self._behind[peer.host] = entry.created
                self._apply(entry)
            if not entries:
                self._behind.pop(peer.host, None)

    def _apply(self, entry: log.Entry) -> None:
        deadline = time.monotonic() + ENTRY_SECONDS
        while True:
            with self._changed:
                try:
                    if not self._state.has_run(entry) and (entry.definition or self._can_run(entry)):
                        self._run(entry)
                except StatementError as error:
                    if error.code not in _DONE_BEFORE:
                        logger.warning("can't run statement %d of %s: %s", entry.number, entry.origin, error)
                        if time.monotonic() < deadline:
                            self._changed.wait(RETRY_SECONDS)
                            continue
                        logger.warning("left out statement %d of %s", entry.number, entry.origin)
                if not log.covers(self._state.vector, entry):
                    self._state.vector[entry.origin] = entry.number
                    self.log.append(entry)
                    self._save()
                self._changed.notify_all()
                return

    def _can_run(self, entry: log.Entry) -> bool:
        return entry.table in self._tables and entry.table not in self._state.pending

    def _run(self, entry: log.Entry) -> None:
        settings = {**entry.settings, "async_insert": "0"}
        session = Session(
            user=ADMINISTRATOR, settings=settings, database=entry.database, parameters=dict(entry.parameters)
        )
        self._engine.run(entry.text, session, DEFAULT_FORMAT)
        if entry.definition:
            self.definition_changed()

    # Registration, and copies of tables

    def _register_and_copy(self) -> None:
        while True:
            try:
                nodes = self._coordination.nodes()
                for identifier in list(self._tables.values()):
                    if nodes.get(self._replica_path(identifier)) != self._state.origin:
                        self._coordination.put(self._replica_path(identifier), self._state.origin)
            except StatementError as error:
                logger.debug("%s", error)
            for key in list(self._state.pending):
                self._copy_from_any(key)
            with self._changed:
                self._changed.wait_for(lambda: self._state.pending, REGISTER_SECONDS)
            if self._state.pending:
                time.sleep(RETRY_SECONDS)

    def _copy_from_any(self, key: str) -> None:
        for peer in self._peers:
            try:
                self._copy(key, *peer.table(key))
            except (*UNREACHABLE, StatementError) as error:
                logger.info("can't copy %s from %s: %s", key, peer.host, error)
                continue
            logger.info("copied %s from %s", key, peer.host)
            return

    def _copy(self, key: str, vector: log.Vector, rows: bytes) -> None:
        """Add rows to a table, without its materialized views: their tables are copied too."""
        table = Table(*key.split(".", 1))
        copy = replace(table, name=table.name + _COPY)
        session = Session(user=ADMINISTRATOR)
        with self._changed:
            self._engine.administrate(f"DROP TABLE IF EXISTS {copy.sql} SYNC")
            self._engine.administrate(f"CREATE TABLE {copy.sql} AS {table.sql}")
            if rows:
                self._engine.run(f"INSERT INTO {copy.sql} FORMAT Native\n" + rows.decode("latin-1"), session)
            partitions = self._engine.administrate(
                "SELECT DISTINCT partition_id FROM system.parts WHERE active AND "  # noqa: S608  # quoted
                f"database = {literal(copy.database)} AND table = {literal(copy.name)}"
            )
            for partition in partitions.splitlines():
                self._engine.administrate(f"ALTER TABLE {table.sql} ATTACH PARTITION ID '{partition}' FROM {copy.sql}")
            self._state.copied(key, vector, self._tables)
            self._save()
            self._engine.administrate(f"DROP TABLE {copy.sql} SYNC")
