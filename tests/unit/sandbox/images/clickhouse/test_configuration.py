"""The configuration of a server: the rendered files, and those that the engine gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stores.clickhouse.keeper import raft_configuration
from sandbox.images.clickhouse.programs import configuration, keeper
from sandbox.images.clickhouse.programs.configuration import Address, ConfigurationError
from tests.unit.sandbox.images.clickhouse.pod import ENVIRONMENT, keeper_file, server_file

HOSTS = [f"langfuse-clickhouse-{number}.langfuse-clickhouse-headless.langfuse-dev.svc" for number in range(3)]


def test_the_rendered_configuration_is_read(tmp_path: Path) -> None:
    read = configuration.server(server_file(tmp_path, hosts=HOSTS), ENVIRONMENT)
    assert (read.http_port, read.native_port, read.interserver_port, read.metrics_port) == (8123, 9000, 9009, 9363)
    assert read.listen_hosts == ["::", "0.0.0.0"]  # noqa: S104  # as rendered
    assert read.replica == "langfuse-clickhouse-0"
    assert read.peers == HOSTS[1:]
    assert read.keepers == [Address("langfuse-keeper-1", 9181)]
    assert read.user("langfuse", "password of langfuse") is read.users["langfuse"]
    assert read.user("langfuse", "") is None
    assert read.user("default", "") is None
    assert read.users["langfuse"].settings["compatibility"] == "26.4"
    assert [read.users[name].settings["s3_retry_attempts"] for name in ("backup", "restore")] == ["8", "43"]


def test_the_engine_gets_each_user_as_a_role(tmp_path: Path) -> None:
    users = configuration.engine_users(configuration.server(server_file(tmp_path), ENVIRONMENT))
    assert [user.tag for user in users.iterfind("users/*")] == ["default"]
    roles = {role.tag: [query.text for query in role.iterfind("grants/query")] for role in users.iterfind("roles/*")}
    assert roles.keys() == {"langfuse", "backup", "restore", "administrator"}
    assert "GRANT BACKUP, SHOW, SYSTEM SYNC REPLICA ON default.*" in roles["backup"]


def test_the_engine_does_not_see_what_it_cannot_do(tmp_path: Path) -> None:
    read = configuration.server(server_file(tmp_path, hosts=HOSTS), ENVIRONMENT)
    engine = configuration.engine_files(read, tmp_path / "users.xml")
    assert engine.find("zookeeper") is None
    assert [host.text for host in engine.iter("host")] == ["127.0.0.1"]
    assert engine.findtext("named_collections/backups/secret_access_key") == "secret key"
    assert engine.findtext("default_database") == ""
    assert read.root.find("zookeeper") is not None


def test_a_missing_variable_is_an_error(tmp_path: Path) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "BACKUP_PASSWORD"}
    with pytest.raises(ConfigurationError, match=r"users.xml: <password>: the environment has no variable BACKUP_P"):
        configuration.server(server_file(tmp_path), environment)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config.xml: .*No such file"):
        configuration.server(tmp_path / "config.xml", ENVIRONMENT)


def test_files_are_prepared_once(tmp_path: Path) -> None:
    read = configuration.server(server_file(tmp_path), ENVIRONMENT)
    main = configuration.prepare(read)
    definition = (read.folder / "metadata" / "default.sql").read_text()
    assert main.stat().st_mode & 0o777 == 0o600
    configuration.prepare(read)
    assert (read.folder / "metadata" / "default.sql").read_text() == definition


def test_a_keeper_must_be_a_member(tmp_path: Path) -> None:
    file = keeper_file(tmp_path, raft_configuration(["keeper-1", "keeper-2"]))
    read = keeper.Settings.read(file, {"KEEPER_ID": "2"})
    assert (read.id, read.client_port, read.control_port, read.metrics_port) == (2, 9181, 9182, 9363)
    assert read.members == {1: Address("keeper-1", 9234), 2: Address("keeper-2", 9234)}
    with pytest.raises(ConfigurationError, match=r"server_id 3 is not in <raft_configuration>, which has \[1, 2\]"):
        keeper.Settings.read(file, {"KEEPER_ID": "3"})
