"""Replaces `clickhouse-client` and the server by the real engine in this process.

The engine has the configuration and the environment of the server's pod, and a query has the grants of its user.
Differences: data is kept in CHDB_FOLDER, the engine knows one user only, and it needs no Keeper.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

SERVER_TABLES = {"system.zookeeper": "keeper", "system.replicas": "replication"}
"""Tables that only a server fills, and the file in CHDB_FOLDER with the answer, if it exists."""

REFUSED = 210
"""The client's exit code if it cannot reach the server (NETWORK_ERROR)."""


def main() -> None:
    """Run one query."""
    arguments = _arguments()
    folder = Path(os.environ["CHDB_FOLDER"])
    if arguments.port != (folder / "port").read_text():
        sys.exit(f"Code: {REFUSED}. Connection refused ({arguments.host}:{arguments.port}). (NETWORK_ERROR)")
    server = json.loads((folder / "environment.json").read_text())
    if os.environ.get("CLICKHOUSE_PASSWORD") != _password(folder, arguments.user, server):
        sys.exit(f"Code: 516. {arguments.user}: Authentication failed. (AUTHENTICATION_FAILED)")
    if arguments.query == "SELECT 1":  # a ping: no need to start the engine
        print(1)  # noqa: T201
        return
    for table, file in SERVER_TABLES.items():
        if table in arguments.query and (folder / file).exists():
            print((folder / file).read_text())  # noqa: T201
            return
    os.environ.update(server)
    configuration = _configuration(folder, arguments.user)
    # The import of the library starts a first engine, which would read a config.xml in the working directory.
    (folder / "empty").mkdir(exist_ok=True)
    os.chdir(folder / "empty")
    from chdb import session  # noqa: PLC0415  # see above

    engine = session.Session(f"{folder / 'data'}?config-file={configuration}")  # type: ignore[no-untyped-call]  # as is
    error = ""
    try:
        print(engine.query(arguments.query, "TSV"), end="", flush=True)  # type: ignore[no-untyped-call]  # noqa: T201
    except RuntimeError as raised:
        error = str(raised)
        print(error, file=sys.stderr, flush=True)  # noqa: T201
    # Exit at once: an engine with connections to Keeper does not shut down cleanly.
    os._exit(1 if error else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("host", "port", "user", "query"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("connect_timeout", "receive_timeout"):
        parser.add_argument(f"--{name}", type=int)
    return parser.parse_args()


def _users(folder: Path) -> "ElementTree.ElementTree[ElementTree.Element]":
    return ElementTree.parse(folder / "users.xml")  # noqa: S314  # our own file


def _password(folder: Path, user: str, server: dict[str, str]) -> str | None:
    element = _users(folder).find(f"users/{user}/password")
    return None if element is None else server[element.attrib["from_env"]]


def _configuration(folder: Path, user: str) -> Path:
    """The rendered configuration with the account of the user under the only name that the engine knows."""
    users = _users(folder)
    accounts = users.find("users")
    assert accounts is not None
    for account in list(accounts):
        if account.tag != user:
            accounts.remove(account)
            continue
        account.tag = "default"
        password = account.find("password")
        assert password is not None
        password.attrib.clear()
        password.tag = "no_password"
        grants = account.find("grants")
        assert grants is not None
        # A local engine reads its own database as files.
        ElementTree.SubElement(grants, "query").text = "GRANT READ ON FILE"
    own = folder / user
    shutil.copytree(folder / "config.d", own / "config.d", dirs_exist_ok=True)
    users.write(own / "users.xml")
    configuration = ElementTree.parse(folder / "config.xml")  # noqa: S314  # our own file
    root = configuration.getroot()
    for element in root.findall("logger"):
        root.remove(element)
    ElementTree.SubElement(root, "users_config").text = str(own / "users.xml")
    configuration.write(own / "config.xml")
    return own / "config.xml"


if __name__ == "__main__":
    main()
