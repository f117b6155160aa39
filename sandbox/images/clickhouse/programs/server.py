"""`clickhouse-server --config-file=FILE`: stands in for ClickHouse's server, with its real engine."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from http import HTTPStatus
from typing import Any

from sandbox.images.clickhouse.programs import keeper
from sandbox.images.clickhouse.programs.configuration import Configuration, ConfigurationError, server
from sandbox.images.clickhouse.programs.coordination import Coordination
from sandbox.images.clickhouse.programs.engine import Engine
from sandbox.images.clickhouse.programs.executor import Executor
from sandbox.images.clickhouse.programs.http_interface import QueryHandler
from sandbox.images.clickhouse.programs.interfaces import HttpHandler, LineHandler, config_file, listen
from sandbox.images.clickhouse.programs.interserver import ENGINE_USER, InterserverHandler
from sandbox.images.clickhouse.programs.native import NativeHandler
from sandbox.images.clickhouse.programs.replication import Replication

SHUTDOWN_SECONDS = 60.0
"""How long running statements may take after SIGTERM."""

LEAVE_SECONDS = 1.0
"""How long clients may still send requests on connections that they have. Each is closed after its next answer."""

logger = logging.getLogger("server")


class MetricsHandler(HttpHandler):
    """Metrics in the format of Prometheus."""

    executor: Executor

    def handle_request(self) -> None:
        """A few metrics: enough for a scrape."""
        lines = f"ClickHouseMetrics_Query {self.executor.running}\nClickHouseAsyncMetrics_Uptime {_uptime():.0f}\n"
        self.send(HTTPStatus.OK, lines.encode())


class Server:
    """A running server."""

    def __init__(self, configuration: Configuration) -> None:
        """Start the engine, then listen on all ports."""
        self._stopping = threading.Event()
        self.engine = Engine(configuration)
        coordination = Coordination(configuration.keepers)
        replication = Replication(configuration, self.engine, coordination)
        self.executor = Executor(configuration, self.engine, replication)
        shared: dict[str, Any] = {
            "configuration": configuration,
            "coordination": coordination,
            "replication": replication,
            "executor": self.executor,
            "stopping": self._stopping,
            "token": secrets.token_hex(16),
            "version": self.engine.administrate("SELECT version()"),
            "timeout": float(configuration.keep_alive_seconds),
        }
        hosts = configuration.listen_hosts
        patient = {**shared, "timeout": None}
        interserver = _handler(InterserverHandler, patient)
        self._listeners = listen(interserver, hosts, configuration.interserver_port)
        self.executor.make_system_tables(_own_address(configuration, shared["token"]))
        replication.start()
        ports: list[tuple[type[LineHandler | HttpHandler], int | None]] = [
            (_handler(MetricsHandler, shared), configuration.metrics_port),
            (_handler(NativeHandler, patient), configuration.native_port),
            (_handler(QueryHandler, shared), configuration.http_port),
        ]
        for handler, port in ports:
            if port is not None:
                self._listeners += listen(handler, hosts, port)

    def stop(self) -> None:
        """Accept no more connections, let running statements finish, and ask clients to leave."""
        self._stopping.set()
        for listener in self._listeners:
            listener.socket.close()
        time.sleep(LEAVE_SECONDS)
        if not self.executor.wait_until_idle(SHUTDOWN_SECONDS):
            logger.warning("%d statements still run after %d s", self.executor.running, SHUTDOWN_SECONDS)


def _handler(handler: type[Any], attributes: dict[str, Any]) -> type[Any]:
    return type(handler.__name__, (handler,), attributes)


def _own_address(configuration: Configuration, token: str) -> str:
    first = configuration.listen_hosts[0]
    host = "127.0.0.1" if first in {"0.0.0.0", "::"} else first  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"http://{ENGINE_USER}:{token}@{host}:{configuration.interserver_port}"


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _STARTED


_STARTED = time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    # As process 1 of a container, it would ignore SIGTERM without a handler.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    stopping = threading.Event()
    try:
        file = config_file(sys.argv[1:])
        configuration = server(file, os.environ)
        if configuration.root.find("keeper_server") is not None:  # a server can have a Keeper in it
            keeper.serve(file, os.environ)
        running = Server(configuration)
    except (ConfigurationError, OSError, RuntimeError) as error:
        sys.exit(f"clickhouse-server: {error}")
    # After the start of the engine, which sets handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    logger.info("%s is ready after %.1f s", configuration.replica, _uptime())
    stopping.wait()
    logger.info("stopping")
    running.stop()
    # At once: the engine survives that, and its own shutdown may wait for merges.
    os._exit(0)


if __name__ == "__main__":
    main()
