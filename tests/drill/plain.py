"""What the tools do by themselves: backups and restores without any check."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.data.backups import off_site
from tests.data.backups.pods import MEDIA
from tests.data.rendered import secrets

if TYPE_CHECKING:
    from tests.drill.stores import Rehearsal

FOLDER = "plain/"
"""Where the tools write to: in the folder for backups of ClickHouse, and in the off-site bucket."""


def dump(rehearsal: Rehearsal) -> None:
    """Dump Postgres into a file."""
    _postgres_tool(rehearsal, "pg_dump", "--format=custom", f"--file={rehearsal.folder / 'plain.dump'}")


def restore_dump(rehearsal: Rehearsal) -> None:
    """Restore the file."""
    file = rehearsal.folder / "plain.dump"
    _postgres_tool(rehearsal, "pg_restore", "--no-owner", "--dbname=langfuse", str(file))


def back_up_clickhouse(rehearsal: Rehearsal) -> None:
    """Back up ClickHouse in full."""
    rehearsal.query(f"BACKUP DATABASE default TO S3(backups, 'clickhouse/{FOLDER}')", user="backup")


def restore_clickhouse(rehearsal: Rehearsal, backup: str) -> None:
    """Restore a backup of ClickHouse with everything that it builds upon."""
    rehearsal.query(
        f"RESTORE DATABASE default ON CLUSTER default FROM S3(backups, 'clickhouse/{backup}') "
        "SETTINGS create_database = 0, allow_different_database_def = 1",
        user="restore",
    )


def copy_media(rehearsal: Rehearsal) -> None:
    """Copy all media to the off-site store."""
    _rclone(rehearsal, f"from:{MEDIA}", f"to:{off_site.TARGET}/{FOLDER}")


def restore_media(rehearsal: Rehearsal) -> None:
    """Copy all media back from where the scripts have copied them to."""
    _rclone(rehearsal, f"to:{off_site.TARGET}/{MEDIA}/", f"from:{MEDIA}")


def _rclone(rehearsal: Rehearsal, source: str, target: str) -> None:
    variables = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": "/dev/null"}
    for name, store in (("FROM", rehearsal.store), ("TO", rehearsal.other)):
        remote = {
            "TYPE": "s3",
            "PROVIDER": "Minio",
            "ENDPOINT": store.url,
            "ACCESS_KEY_ID": secrets()["langfuse-object-store-root", "access-key-id"],
            "SECRET_ACCESS_KEY": secrets()["langfuse-object-store-root", "secret-access-key"],
        }
        variables |= {f"RCLONE_CONFIG_{name}_{key}": value for key, value in remote.items()}
    # The stores encrypt, so ETags are no MD5 sums (rclone-remotes.sh, `source_remote`).
    variables[f"RCLONE_CONFIG_{source.partition(':')[0].upper()}_SERVER_SIDE_ENCRYPTION"] = "aws:kms"
    words = ["copy", "--quiet", "--ignore-checksum", source, target]
    subprocess.run([rehearsal.store.clients / "rclone", *words], env=variables, check=True)


def _postgres_tool(rehearsal: Rehearsal, name: str, *words: str) -> None:
    server = rehearsal.postgres
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "langfuse", "PGDATABASE": "langfuse"}
    variables = {**address, "PGPASSWORD": secrets()["langfuse-postgres", "password"], "PATH": os.environ["PATH"]}
    subprocess.run([server.clients / name, *words], env=variables, check=True)
