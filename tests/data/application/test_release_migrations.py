"""The list of migrations that the migration Job reads from the image of a release."""

from pathlib import Path

from tests.data.containers import Run, run
from tests.data.rendered import container, environment


def listed(folder: Path) -> Run:
    """Run the first container of the migration Job on a folder with the layout of the image."""
    job = container("Job", "langfuse-migrations", "release")
    clients = folder / "clients"
    clients.mkdir(exist_ok=True)
    (folder / "release").mkdir(exist_ok=True)
    variables = environment(job, RELEASE_DIR=str(folder / "release"))
    return run(job, {**variables, "SHARED_DIR": str(folder / "shared")}, clients)


def image(folder: Path) -> None:
    """A folder with the migrations of an image."""
    shared = folder / "shared"
    for name in ("20230518_first", "20260101_second"):
        (shared / "prisma/migrations" / name).mkdir(parents=True)
        (shared / "prisma/migrations" / name / "migration.sql").touch()
    (shared / "prisma/migrations/migration_lock.toml").touch()
    (shared / "clickhouse/migrations/clustered").mkdir(parents=True)
    for name in ("0001_traces", "0010_scores"):
        for direction in ("up", "down"):
            (shared / "clickhouse/migrations/clustered" / f"{name}.{direction}.sql").touch()
    (shared / "scripts").mkdir()
    (shared / "scripts/cleanup.sql").write_text("DELETE")


def test_the_migrations_of_a_release_are_listed(tmp_path: Path) -> None:
    image(tmp_path)
    result = listed(tmp_path)
    assert (result.code, result.output) == (0, "this release contains 2 Postgres and 2 ClickHouse migrations\n")
    assert (tmp_path / "release/postgres").read_text() == "20230518_first\n20260101_second\n"
    assert (tmp_path / "release/clickhouse").read_text() == "1\n10\n"
    assert (tmp_path / "release/cleanup.sql").read_text() == "DELETE"


def test_an_image_with_another_layout_is_refused(tmp_path: Path) -> None:
    image(tmp_path)
    for file in (tmp_path / "shared/clickhouse/migrations/clustered").iterdir():
        file.unlink()
    result = listed(tmp_path)
    assert result.code == 1
    assert "contains no ClickHouse migrations" in result.output
