"""Scripts wait for a store no longer than configured, including the time that their clients take."""

from pathlib import Path

import pytest

from tests.data.containers import install_client, run
from tests.data.rendered import container, environment

SCRIPTS = (
    ("Job", "langfuse-migrations", "postgres", "psql"),
    ("Job", "langfuse-migrations", "clickhouse", "clickhouse-client"),
    ("CronJob", "langfuse-backup-postgres", "write-dump", "psql"),
    ("CronJob", "langfuse-backup-clickhouse", "write-backup", "clickhouse-client"),
    ("CronJob", "langfuse-restore-postgres", "look", "psql"),
    ("CronJob", "langfuse-restore-clickhouse", "look", "clickhouse-client"),
    ("Job", "langfuse-object-store-provisioning", "provision", "mc"),
)


@pytest.mark.parametrize(("kind", "workload", "name", "program"), SCRIPTS)
def test_a_slow_store_does_not_extend_the_wait(
    tmp_path: Path, kind: str, workload: str, name: str, program: str
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 2\necho refused >&2\nexit 1\n")
    slow.chmod(0o755)
    install_client(tmp_path / "clients", program, slow)
    job = container(kind, workload, name)
    variables = environment(job, WAIT_SECONDS="2")
    folders = {key: str(tmp_path) for key in ("CLIENT_DIR", "MC_CONFIG_DIR", "WORK_DIR") if key in variables}
    result = run(job, variables | folders, tmp_path / "clients")
    assert result.code == 1
    assert "within 2 s: refused" in result.output
    assert result.command_lines.count(f"{program} ") == 1
