"""Reads the configuration of a server, and writes that of its engine.

The format is that of ClickHouse: a main file, files in `config.d` that are merged into it, and values from the
environment (clickhouse.com/docs/operations/configuration-files).
"""

from __future__ import annotations

import copy
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

DATABASE = "default"

ADMINISTRATOR = "administrator"
"""The role of the server's own queries. It has every privilege."""

REPLICATED_MARK = "non_replicated_deduplication_window"
"""A table setting. A table that has it is replicated by `replication.py`; others are not."""

_ENGINE_LEFT_OUT = (
    *("logger", "user_directories", "zookeeper", "remote_servers", "distributed_ddl", "default_database"),
    "keeper_server",
)
"""Elements that the engine must not see. With `default_database` it would make a database that mixes tables and files
(`createClickHouseLocalDatabaseOverlay` in chdb-core, programs/local/EmbeddedServer.cpp)."""


class ConfigurationError(Exception):
    """The configuration can't be used. The message names the file and the element."""


@dataclass(frozen=True)
class Address:
    """A host and a port."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class User:
    """A user who can log in."""

    name: str
    password: str
    grants: Sequence[str]
    """GRANT statements without the user."""
    settings: Mapping[str, str]
    """The settings of the user's profile."""

    def accepts(self, password: str) -> bool:
        """Whether this is the user's password."""
        return hmac.compare_digest(self.password.encode(), password.encode())


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The configuration of a server."""

    folder: Path
    """The data folder."""
    listen_hosts: Sequence[str]
    http_port: int
    native_port: int
    interserver_port: int
    metrics_port: int | None
    keep_alive_seconds: int
    interserver_user: str
    interserver_password: str
    replica: str
    """The name of this replica, which is that of its pod."""
    peers: Sequence[str]
    """The host names of the other replicas."""
    keepers: Sequence[Address]
    users: Mapping[str, User]
    root: Element = field(repr=False)

    def user(self, name: str, password: str) -> User | None:
        """The user with this name and password, or None."""
        found = self.users.get(name)
        return found if found is not None and found.accepts(password) else None


def is_host_of(replica: str, host: str) -> bool:
    """Whether a host is that of a replica, whose name is that of its pod."""
    return replica in {host, host.partition(".")[0]}


def load(file: Path, environment: Mapping[str, str]) -> Element:
    """Read a file and the additions in its `config.d`, with values from the environment."""
    root = _read(file, environment)
    for addition in sorted((file.parent / f"{file.stem}.d").glob("*.xml")):
        _merge(root, _read(addition, environment))
    return root


def listen_hosts(root: Element) -> list[str]:
    """The addresses where a server listens. By default only the host itself can connect."""
    return [element.text or "" for element in root.iterfind("listen_host")] or ["127.0.0.1"]


def server(file: Path, environment: Mapping[str, str]) -> Configuration:
    """Read the configuration of a server.

    Raises:
        ConfigurationError: If an element or a variable is missing.
    """
    root = load(file, environment)
    users = _read(file.parent / _required(root, "user_directories/users_xml/path"), environment)
    replica = _required(root, "macros/replica")
    hosts = [element.text or "" for element in root.iterfind(f"remote_servers/{DATABASE}/shard/replica/host")]
    metrics = root.findtext("prometheus/port")
    return Configuration(
        folder=Path(_required(root, "path")),
        listen_hosts=listen_hosts(root),
        http_port=int(_required(root, "http_port")),
        native_port=int(_required(root, "tcp_port")),
        interserver_port=int(_required(root, "interserver_http_port")),
        metrics_port=int(metrics) if metrics else None,
        keep_alive_seconds=int(root.findtext("keep_alive_timeout", "10")),
        interserver_user=root.findtext("interserver_http_credentials/user", ""),
        interserver_password=root.findtext("interserver_http_credentials/password", ""),
        replica=replica,
        peers=[host for host in hosts if not is_host_of(replica, host)],
        keepers=[
            Address(node.findtext("host", ""), int(node.findtext("port", "9181")))
            for node in root.iterfind("zookeeper/node")
        ],
        users={element.tag: _user(element, users) for element in users.iterfind("users/*")},
        root=root,
    )


def engine_files(configuration: Configuration, users_file: Path) -> Element:
    """The main file of the engine, which reads its users from another file."""
    root = copy.deepcopy(configuration.root)
    for name in _ENGINE_LEFT_OUT:
        for element in root.findall(name):
            root.remove(element)
    SubElement(root, "default_database")
    SubElement(root, "database").text = DATABASE
    SubElement(root, "users_config").text = str(users_file)
    # The only server that the engine can query is itself.
    replica = SubElement(SubElement(SubElement(SubElement(root, "remote_servers"), DATABASE), "shard"), "replica")
    SubElement(replica, "host").text = "127.0.0.1"
    SubElement(replica, "port").text = str(configuration.native_port)
    return root


def engine_users(configuration: Configuration) -> Element:
    """The users' file of the engine.

    The engine has a single user, `default`, who can assume the role of each user of the server.
    """
    root = Element("clickhouse")
    SubElement(SubElement(root, "profiles"), "default")
    SubElement(SubElement(root, "quotas"), "default")
    default = SubElement(SubElement(root, "users"), "default")
    SubElement(default, "no_password")
    SubElement(SubElement(default, "networks"), "ip").text = "::/0"
    for name in ("profile", "quota"):
        SubElement(default, name).text = "default"
    assumed = SubElement(default, "grants")
    roles = SubElement(root, "roles")
    grants = {user.name: user.grants for user in configuration.users.values()}
    for name, statements in {**grants, ADMINISTRATOR: ["GRANT ALL ON *.*"]}.items():
        SubElement(assumed, "query").text = f"GRANT {name}"
        granted = SubElement(SubElement(roles, name), "grants")
        for statement in statements:
            SubElement(granted, "query").text = statement
    return root


def prepare(configuration: Configuration) -> Path:
    """Write the files of the engine and, on an empty volume, the database `default`. Return the main file."""
    folder = configuration.folder
    for name in ("preprocessed_configs", "metadata", "tmp", "user_files", "format_schemas"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    files = folder / "preprocessed_configs"
    files.chmod(0o700)  # they contain passwords
    main, users = files / "engine.xml", files / "engine-users.xml"
    for file, root in ((main, engine_files(configuration, users)), (users, engine_users(configuration))):
        ElementTree.ElementTree(root).write(file)
        file.chmod(0o600)
    definition = folder / "metadata" / f"{DATABASE}.sql"
    if not definition.exists():
        # As the server writes it when it creates its default database for the first time.
        partial = definition.with_suffix(".tmp")
        partial.write_text(f"ATTACH DATABASE _ UUID '{uuid.uuid4()}'\nENGINE = Atomic\n")
        partial.rename(definition)
    return main


def _read(file: Path, environment: Mapping[str, str]) -> Element:
    try:
        root = ElementTree.parse(file).getroot()  # noqa: S314  # files of the pod
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigurationError(f"{file}: {error}") from error
    for element in root.iter():
        variable = element.attrib.pop("from_env", None)
        if variable is None:
            continue
        if variable not in environment:
            raise ConfigurationError(f"{file}: <{element.tag}>: the environment has no variable {variable}")
        element.text = environment[variable]
    return root


def _merge(into: Element, other: Element) -> None:
    for element in other:
        if element.attrib.pop("replace", None):
            for old in into.findall(element.tag):
                into.remove(old)
        existing = into.find(element.tag)
        if existing is None or not len(element):
            into.append(element)
        else:
            _merge(existing, element)


def _required(root: Element, path: str) -> str:
    text = (root.findtext(path) or "").strip()
    if not text:
        raise ConfigurationError(f"<{path}> is missing")
    return text


def _user(element: Element, users: Element) -> User:
    profile = element.findtext("profile", "default")
    return User(
        name=element.tag,
        password=element.findtext("password", ""),
        grants=[query.text or "" for query in element.iterfind("grants/query")],
        settings={item.tag: (item.text or "").strip() for item in users.iterfind(f"profiles/{profile}/*")},
    )
