"""The rendered configuration of ClickHouse's pods, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.schema.purposes import Purpose
from components.stores.clickhouse import keeper, managed
from components.stores.clickhouse.cluster import backups_configuration, cluster_configuration
from components.stores.connections import Bucket, Endpoint, ObjectStoreConnection

ENVIRONMENT: Mapping[str, str] = {
    "CLICKHOUSE_PASSWORD": "password of langfuse",
    "BACKUP_PASSWORD": "password of backup",
    "RESTORE_PASSWORD": "password of restore",
    "INTERSERVER_PASSWORD": "password of replicas",
    "BACKUPS_URL": "http://store/backups/",
    "BACKUPS_ACCESS_KEY_ID": "key",
    "BACKUPS_SECRET_ACCESS_KEY": "secret key",
    "POD_NAME": "langfuse-clickhouse-0",
}


def server_file(
    folder: Path,
    *,
    hosts: Sequence[str] = ("langfuse-clickhouse-0",),
    keepers: Sequence[Endpoint] = (Endpoint(host="langfuse-keeper-1", port=keeper.CLIENT_PORT),),
    replaced: Mapping[str, str] | None = None,
) -> Path:
    """Write the files of a server whose data is in the folder, and return the main one.

    `replaced` has parts of the text of the main file, and what takes their places.
    """
    buckets: Mapping[Purpose, Bucket] = {"backups": Bucket(name="backups")}
    store = ObjectStoreConnection(
        endpoint=Endpoint(host="store", port=80), region="us-east-1", force_path_style=True, buckets=buckets
    )
    main = _read(managed.FILES / "config.xml", {"/var/lib/clickhouse/": f"{folder}/data/", **(replaced or {})})
    (folder / "config.d").mkdir(parents=True)
    (folder / "config.xml").write_text(main)
    (folder / "users.xml").write_text(_read(managed.FILES / "users.xml", {}))
    (folder / "config.d" / "cluster.xml").write_text(cluster_configuration(hosts, keepers))
    (folder / "config.d" / "backups.xml").write_text(backups_configuration(store))
    return folder / "config.xml"


def keeper_file(folder: Path, members: str, replaced: Mapping[str, str] | None = None) -> Path:
    """Write the files of a Keeper whose data is in the folder, and return the main one."""
    (folder / "config.d").mkdir(parents=True)
    (folder / "config.d" / keeper.QUORUM).write_text(members)
    own = {"/var/lib/clickhouse-keeper": f"{folder}/data", **(replaced or {})}
    (folder / keeper.CONFIG).write_text(_read(keeper.FILES / "keeper.xml", own))
    return folder / keeper.CONFIG


def _read(file: Path, replaced: Mapping[str, str]) -> str:
    text = file.read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text
