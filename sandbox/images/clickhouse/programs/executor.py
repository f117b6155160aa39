"""Runs a statement of a client: what the engine can't do by itself goes to `replication.py`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from sandbox.images.clickhouse.programs.configuration import Configuration
from sandbox.images.clickhouse.programs.engine import Engine, Result, Session, literal
from sandbox.images.clickhouse.programs.errors import ACCESS_DENIED, StatementError
from sandbox.images.clickhouse.programs.replication import Replication
from sandbox.images.clickhouse.programs.statements import DEFINITIONS, WRITES, Statement

_ZOOKEEPER_COLUMNS = "name String, value String, path String, numChildren Int32"
_LOG_COLUMNS = (
    "type String, event_date Date, event_time DateTime, event_time_microseconds DateTime64(6), query_id String, "
    "query String, exception_code Int32, log_comment String"
)
"""The columns of system.query_log that Langfuse reads (packages/shared/src/server/clickhouse/queryTracking.ts)."""

_LOGGED = 10_000
"""The most statements in system.query_log."""

_REPLICA_STATEMENTS = {
    "SYNC": "SYSTEM SYNC REPLICA",
    "DROP": "SYSTEM DROP REPLICA",
    "RESTART": "SYSTEM RESTART REPLICA",
}


class Executor:
    """Runs statements, and counts those that run."""

    def __init__(self, configuration: Configuration, engine: Engine, replication: Replication) -> None:
        """The parts of a server."""
        self._configuration, self._engine, self._replication = configuration, engine, replication
        self._idle = threading.Condition()
        self._running = 0
        self.query_log: deque[dict[str, object]] = deque(maxlen=_LOGGED)
        """The rows of system.query_log: statements that came by HTTP and have ended."""

    def log(self, query_id: str, statement: str, comment: str, *, error: int = 0) -> None:
        """Add a statement that has ended to system.query_log. `error` is the code of what it failed with."""
        now = time.time()
        self.query_log.append(
            {
                "type": "ExceptionWhileProcessing" if error else "QueryFinish",
                "event_date": int(now // 86400),
                "event_time": int(now),
                "event_time_microseconds": f"{now:.6f}",
                "query_id": query_id,
                "query": statement,
                "exception_code": error,
                "log_comment": comment,
            }
        )

    def run(self, statement: Statement, session: Session, output_format: str) -> Result:
        """Run one statement.

        Raises:
            StatementError: If it is refused or fails.
        """
        with self._idle:
            self._running += 1
        try:
            return self._run(statement, session, output_format)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    @property
    def running(self) -> int:
        """How many statements run now."""
        return self._running

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no statement runs."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._running, timeout=seconds)

    def _run(self, statement: Statement, session: Session, output_format: str) -> Result:
        if statement.cluster is not None:
            return self._replication.define(statement, session, output_format)
        if statement.verb == "SYSTEM" and "REPLICA" in (words := [token.text.upper() for token in statement.tokens]):
            self._replica_statement(statement, words, session)
            return Result()
        if statement.creates_replicated_table:
            return self._replication.create(statement, session, output_format)
        if statement.verb in WRITES and self._replication.is_replicated(statement.table(session.database)):
            return self._replication.write(statement, session, output_format)
        result = self._engine.run(statement.text, session, output_format)
        if statement.verb in DEFINITIONS:
            self._replication.definition_changed()
        return result

    def _replica_statement(self, statement: Statement, words: Sequence[str], session: Session) -> None:
        privilege = _REPLICA_STATEMENTS.get(words[1])
        if privilege is None:
            raise StatementError.of(48, f"{' '.join(words[:3])} is not implemented here", "NOT_IMPLEMENTED")
        if self._engine.run(f"CHECK GRANT {privilege} ON default.*", session).data.strip() != b"1":
            message = (
                f"{session.user}: Not enough privileges. To execute this query, it's necessary to have the grant "
                f"{privilege} ON default.*."
            )
            raise StatementError.of(ACCESS_DENIED, message, "ACCESS_DENIED")
        if words[1] == "SYNC":
            self._replication.synchronize()
        if words[1] == "DROP":
            table = None
            if "TABLE" in words:
                table = statement.table_at(words.index("TABLE") + 1, session.database)
            self._replication.drop_replica(statement.tokens[3].name, table)

    def make_system_tables(self, address: str) -> None:
        """Create system tables that the engine has not, as views of what a server answers.

        `address` is that of the interserver port on this machine, with credentials.
        """
        replicas = self._engine.administrate(
            "SELECT arrayStringConcat(groupArray(concat('`', name, '` ', type)), ', ') FROM system.columns "
            "WHERE database = 'system' AND table = 'replicas'"
        )
        self._engine.administrate("DROP TABLE system.replicas")
        made = [("replicas", replicas), ("zookeeper", _ZOOKEEPER_COLUMNS)]
        log = self._configuration.root.find("query_log")
        if log is not None and "remove" not in log.attrib:
            made.append(("query_log", _LOG_COLUMNS))
        for name, columns in made:
            source = f"url({literal(f'{address}/system/{name}')}, 'JSONEachRow', {literal(columns)})"
            self._engine.administrate(
                f"CREATE VIEW system.{name} DEFINER = default SQL SECURITY DEFINER AS SELECT * FROM {source}"  # noqa: S608  # quoted
            )
