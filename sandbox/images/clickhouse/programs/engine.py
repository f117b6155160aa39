"""ClickHouse's engine in this process (chdb), with the users of the server as roles.

Each statement has a session of its own, as over HTTP. The engine runs statements of several threads at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.images.clickhouse.programs.configuration import ADMINISTRATOR, DATABASE, Configuration, User, prepare
from sandbox.images.clickhouse.programs.errors import StatementError

DEFAULT_FORMAT = "TabSeparated"
_UNUSED = ("numpy", "pandas", "pyarrow")
"""Libraries that chdb imports if they are there. They cost half a second and 60 MiB."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Who runs a statement, and how."""

    user: str
    """A user of the server, or `ADMINISTRATOR`."""
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str = DATABASE
    parameters: Mapping[str, str] = field(default_factory=dict)


def session_of(
    user: User,
    *,
    settings: Mapping[str, str] | None = None,
    database: str = DATABASE,
    parameters: Mapping[str, str] | None = None,
) -> Session:
    """A session with the settings of the user's profile, which those of the request replace."""
    return Session(
        user=user.name,
        settings={**user.settings, **(settings or {})},
        database=database or DATABASE,
        parameters=parameters or {},
    )


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a statement."""

    data: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


class Engine:
    """The engine on the data folder of a server. A process can have one."""

    def __init__(self, configuration: Configuration) -> None:
        """Start the engine and load all tables."""
        main = prepare(configuration)
        # It would also read a config.xml in the working directory.
        os.chdir(main.parent)
        self._library = _import_chdb()
        self._address = f"{configuration.folder}?config-file={main}"
        self._first = self._library.connect(self._address)  # the engine ends with its last session

    def run(self, text: str, session: Session, output_format: str = DEFAULT_FORMAT) -> Result:
        """Run one statement. `text` is in Latin-1.

        Raises:
            StatementError: If the engine refuses it or it fails.
        """
        started = time.monotonic_ns()
        connection = self._library.connect(self._address)
        try:
            for preparation in _preparations(session):
                connection.query(preparation, "Null", params={})
            result = connection.query(text.encode("latin-1"), output_format, params=dict(session.parameters))
            return Result(
                data=bytes(result.bytes() or b""),
                read_rows=result.storage_rows_read(),
                read_bytes=result.storage_bytes_read(),
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed_ns=time.monotonic_ns() - started,
            )
        except RuntimeError as error:
            raise StatementError.parse(str(error), session.user) from error
        finally:
            connection.close()

    def administrate(self, text: str) -> str:
        """Run a statement with every privilege. The text and the result are in UTF-8."""
        text = text.encode().decode("latin-1")
        return self.run(text, Session(user=ADMINISTRATOR)).data.decode().strip()


def _preparations(session: Session) -> list[str]:
    statements = [f"SET ROLE {session.user}"]
    if session.settings:
        pairs = ", ".join(f"{name} = {literal(value)}" for name, value in session.settings.items())
        statements.append(f"SET {pairs}")
    if session.database != DATABASE:
        statements.append(f"USE `{session.database}`")
    return statements


def literal(value: str) -> str:
    """A string as SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _import_chdb() -> Any:  # noqa: ANN401  # a module without types
    absent: dict[str, Any] = dict.fromkeys(name for name in _UNUSED if name not in sys.modules)
    sys.modules.update(absent)
    try:
        return importlib.import_module("chdb")._chdb
    finally:
        for name in absent:
            del sys.modules[name]
