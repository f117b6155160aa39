"""The stores of an installation on this machine, and the programs of the probe application with rendered variables."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sandbox.images import probe_application
from tests.data.containers import install_client
from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import Container, config_map, container, environment, secrets
from tests.servers import answers, free_port, program, running
from tests.waiting import eventually

PROGRAMS = "sandbox.images.clickhouse.programs"
CHECKOUT = Path(__file__).resolve().parents[3]
MODULE_FOLDER = "/etc/langfuse/"
CLOSE_CONNECTIONS = CHECKOUT / "components/application/config"
LIMIT_SECONDS = 60


@contextlib.contextmanager
def clickhouse(
    folder: Path,
    *,
    users: Callable[[str], str] = str,
    config: Mapping[str, str] = MappingProxyType({}),
    **replaced: str,
) -> Iterator[Mapping[str, int]]:
    """Run ClickHouse and its Keeper with the rendered files, in the sandbox's images' form. Yields ports by name.

    `users` changes the file of the users, and `config` replaces text in the main file of the server. Further arguments
    are variables of the server.
    """
    names = ("http_port", "tcp_port", "interserver_http_port", "metrics", "keeper", "control", "raft", "keeper_metrics")
    ports = {name: free_port() for name in names}
    local = {
        "0.0.0.0": "127.0.0.1",  # noqa: S104
        ">::<": ">127.0.0.1<",
        "/var/lib/clickhouse-keeper": f"{folder}/keeper-data",
        "/var/lib/clickhouse": f"{folder}/data",
        "langfuse-keeper-1.langfuse-keeper-headless.langfuse-dev.svc": "127.0.0.1",
        ">8123<": f">{ports['http_port']}<",
        ">9000<": f">{ports['tcp_port']}<",
        ">9009<": f">{ports['interserver_http_port']}<",
        ">9181<": f">{ports['keeper']}<",
        ">9182<": f">{ports['control']}<",
        ">9234<": f">{ports['raft']}<",
    }
    keeper = _written(folder / "keeper", {"langfuse-keeper-config": "", "langfuse-keeper-quorum": "config.d"}, local)
    server = _written(folder / "server", {"langfuse-clickhouse-config": ""}, local)
    (server / "users.xml").write_text(users((server / "users.xml").read_text()))
    for old, new in config.items():
        main = server / "config.xml"
        main.write_text(main.read_text().replace(old, new))
    for name in ("keeper-data", "data"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as stack:
        for kind, files, variables, port, metrics in (
            ("keeper", keeper, {"KEEPER_ID": "1"}, "keeper", "keeper_metrics"),
            ("server", server, _server_variables(**replaced), "http_port", "metrics"),
        ):
            main = files / "config.xml"
            main.write_text(main.read_text().replace(">9363<", f">{ports[metrics]}<"))
            command = [sys.executable, "-m", f"{PROGRAMS}.{kind}", f"--config-file={main}"]
            given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), **variables}
            stack.enter_context(
                running(command, given, lambda port=port: answers(ports[port]), log=folder / f"{kind}.log")  # type: ignore[misc]
            )
        yield ports


def _server_variables(**replaced: str) -> dict[str, str]:
    server = container("StatefulSet", "langfuse-clickhouse", "clickhouse")
    return environment(server, POD_NAME="langfuse-clickhouse-0", **replaced)


ADDED = {"queries.xml": "users.d"}
"""The folder of an additional file, if it is not `config.d`."""


def _written(folder: Path, maps: Mapping[str, str], replaced: Mapping[str, str]) -> Path:
    """Write ConfigMaps into a folder. Additional files belong into `config.d`."""
    for name, below in maps.items():
        for file, text in config_map(name).items():
            for old, new in replaced.items():
                text = text.replace(old, new)  # noqa: PLW2901
            place = (
                folder / below if below or file in {"config.xml", "users.xml"} else folder / ADDED.get(file, "config.d")
            )
            place.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(text)
    return folder


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run Valkey or Redis with the rendered password. Yields its port."""
    port = free_port()
    server = program("valkey-server", "redis-server", package="redis-server")
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "requirepass": secrets()["langfuse-redis", "password"],
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with running([server, *words], os.environ, lambda: answers(port), log=folder / "redis.log"):
        yield port


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of web or worker."""

    status: int
    body: Any
    headers: Mapping[str, str]


def ask(url: str, *, method: str = "GET", body: object = None, keys: str = "") -> Answer:
    """Send a request. `body` is sent as JSON, and bytes as they are; `keys` is `public:secret`."""
    headers = {"Content-Type": "application/json"}
    if keys:
        headers["Authorization"] = f"Basic {b64encode(keys.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  # our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own server
            status, text, given = answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        status, text, given = error.code, error.read(), dict(error.headers)
    return Answer(status=status, body=json.loads(text), headers=given)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The stores, and how to run the programs of the probe application against them."""

    folder: Path
    postgres: PostgresServer
    object_store: Store
    redis_port: int
    clickhouse_ports: Mapping[str, int]
    extra: Mapping[str, str] = field(default_factory=dict)
    """Variables for all programs."""

    @property
    def clients(self) -> Path:
        """The folder with psql and clickhouse-client."""
        script = self.folder / "clickhouse-client.sh"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m {PROGRAMS}.client "$@"\n')
        script.chmod(0o755)
        install_client(self.postgres.clients, "clickhouse-client", script)
        return self.postgres.clients

    @property
    def keys(self) -> str:
        """The API keys that the first start creates."""
        first = environment(container("Job", "langfuse-first-start", "first-start"))
        return f"{first['LANGFUSE_INIT_PROJECT_PUBLIC_KEY']}:{first['LANGFUSE_INIT_PROJECT_SECRET_KEY']}"

    def variables(self, of: Container, **replaced: str) -> dict[str, str]:
        """The rendered variables of a container, with the addresses on this machine."""
        given = environment(of)
        password = secrets()["langfuse-postgres", "password"]
        url = f"postgresql://langfuse:{password}@127.0.0.1:{self.postgres.port}/langfuse"
        ports = self.clickhouse_ports
        local = {
            "DATABASE_URL": url,
            "DIRECT_URL": url,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.redis_port),
            "CLICKHOUSE_URL": f"http://127.0.0.1:{ports['http_port']}",
            "CLICKHOUSE_MIGRATION_URL": f"clickhouse://127.0.0.1:{ports['tcp_port']}",
            "NODE_OPTIONS": given.get("NODE_OPTIONS", "").replace(MODULE_FOLDER, f"{CLOSE_CONNECTIONS}/"),
            "HOSTNAME": "127.0.0.1",
            **{name: self.object_store.url for name in given if name.startswith("LANGFUSE_S3_") and "ENDPOINT" in name},
        }
        known = {name: value for name, value in local.items() if name in given}
        paths = {"PATH": os.environ["PATH"], "NODE_PATH": str(probe_application.node_modules())}
        return {**given, **known, **paths, "NODE_ENV": "production", **self.extra, **replaced}

    def run(self, of: Container, command: Sequence[str], entrypoint: str = "web", **replaced: str) -> tuple[int, str]:
        """Run the entrypoint of the image with a command to its end. Returns exit code and output."""
        done = subprocess.run(
            ["/bin/sh", f"./{entrypoint}/entrypoint.sh", *command],
            cwd=probe_application.APP,
            env=self.variables(of, **replaced),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout

    @contextlib.contextmanager
    def web(self, **replaced: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
        """Run web until the end of the block. Yields its URL and its process."""
        web = container("Deployment", "langfuse-web", "web")
        with self._serving(web, "web", "./web/server.js", "/api/public/health", **replaced) as running_web:
            yield running_web

    @contextlib.contextmanager
    def worker(self, **replaced: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
        """Run a worker until the end of the block. Yields its URL and its process."""
        worker = container("Deployment", "langfuse-worker", "worker")
        with self._serving(worker, "worker", "./worker/index.js", "/api/ready", **replaced) as running_worker:
            yield running_worker

    @contextlib.contextmanager
    def _serving(
        self, of: Container, name: str, main: str, path: str, **replaced: str
    ) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = ["/bin/sh", f"./{name}/entrypoint.sh", "node", main]
        variables = self.variables(of, PORT=str(port), **replaced)
        log = self.folder / f"{name}-{port}.log"
        ready = _answering(url + path)
        with running(command, variables, ready, log=log, folder=probe_application.APP) as process:
            yield url, process


def _answering(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return ask(url).status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return ready


def until(check: Callable[[], bool], message: str) -> None:
    """Wait until a check succeeds."""
    eventually(check, message, within=LIMIT_SECONDS / 2)
