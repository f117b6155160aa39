"""The script that initializes the data directory: killed at any moment, and on existing directories."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.data.postgres.server import ServerFolder, server_folder
from tests.servers import missing

Moment = Callable[[Path], bool]


@pytest.fixture
def here(tmp_path: Path) -> ServerFolder:
    return server_folder(tmp_path)


def at(*paths: str) -> Moment:
    """The moment at which one of the files exists."""
    return lambda folder: any((folder / path).exists() for path in paths)


def own_database(folder: Path) -> bool:
    """The moment at which a database exists that initdb does not create."""
    return any(int(path.name) >= 16384 for path in folder.glob("base/[0-9]*"))


MOMENTS: dict[str, Moment] = {
    "the folder exists": lambda folder: folder.exists(),
    "it has a version": at("PG_VERSION"),
    "it has a control file": at("global/pg_control"),
    "it has a second template": at("base/4", "base/5"),
    "the server starts": at("postmaster.pid"),
    "the database exists": own_database,
}


def killed(process: subprocess.Popen[str], folder: Path, moment: Moment) -> None:
    """Kill all processes at a moment, as when a pod is killed."""
    deadline = time.monotonic() + 60
    while not moment(folder):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stop_server(folder)


def stop_server(folder: Path) -> None:
    """Kill a server, which runs in its own session."""
    for _ in range(20):
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError, ProcessLookupError):
            os.kill(int((folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        time.sleep(0.05)


def assert_works(here: ServerFolder) -> None:
    """Assert that the application's role owns its database, and that the volume has nothing else."""
    with here.serving() as server:
        assert server.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'langfuse'") == "langfuse"
        assert server.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "f"
        assert server.query("SHOW data_checksums") == "on"
        server.query("CREATE TABLE made (n int)")


def kept_aside(here: ServerFolder) -> list[Path]:
    return [path for path in here.data.parent.iterdir() if path != here.data]


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_killed_initialization_is_started_again(here: ServerFolder, moment: Moment) -> None:
    unfinished = here.data.with_name("pgdata.unfinished")
    killed(here.initialize(), unfinished, moment)
    assert not here.data.exists()
    assert unfinished.exists()
    assert "creating the data directory" in here.initialized()
    assert kept_aside(here) == []
    assert_works(here)


@pytest.mark.long
def test_an_initialization_that_was_killed_several_times_succeeds(here: ServerFolder) -> None:
    unfinished = here.data.with_name("pgdata.unfinished")
    for moment in reversed(MOMENTS.values()):
        killed(here.initialize(), unfinished, moment)
    here.initialized()
    assert_works(here)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a process as a user without a name")
def test_a_user_without_a_name_initializes_and_serves(tmp_path: Path) -> None:
    if not list(Path("/usr/lib").glob("*/libnss_wrapper.so")):
        missing("needs libnss_wrapper.so: apt-get install libnss-wrapper")
    here = server_folder(tmp_path, user=1000770000)  # of a range that OpenShift gives to namespaces
    assert "the data directory is ready" in here.initialized()
    assert here.data.stat().st_uid == 1000770000
    assert_works(here)
    with here.serving():  # the operator's way in, without a password
        asked = subprocess.run(
            [here.binaries / "psql", "--host", here.sockets, "--username", "postgres", "-qAtXc", "SELECT current_user"],
            user=here.user,
            group=here.group,
            cwd="/",
            env={"PGPORT": str(port_of(here))},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (asked.stdout.strip(), asked.stderr) == ("postgres", "")


def port_of(here: ServerFolder) -> int:
    return int((here.data / "postmaster.pid").read_text().splitlines()[3])


@contextlib.contextmanager
def initialized_by_the_image(here: ServerFolder, moment: Moment | None = None) -> Iterator[None]:
    """A data directory that the entrypoint of the image creates, optionally killed at a moment."""
    process = subprocess.Popen(
        [here.binaries / "initdb", "-D", here.data, "-U", "postgres", "--data-checksums", "--auth=trust"],
        user=here.user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        start_new_session=True,
    )
    if moment:
        killed(process, here.data, moment)
    else:
        assert process.wait() == 0
    yield


def as_superuser(here: ServerFolder, *statements: str) -> None:
    """Run statements on a server without a network listener, and kill it afterwards."""
    server = subprocess.Popen(
        [here.binaries / "postgres", "-D", here.data, "-k", here.sockets, "-h", ""],
        user=here.user,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    psql: list[str | Path] = [here.binaries / "psql", "-h", here.sockets, "-U", "postgres", "-d", "postgres", "-qAtX"]
    try:
        for statement in ("SELECT 1", *statements):
            for _ in range(100):
                done = subprocess.run(
                    [*psql, "-c", statement], capture_output=True, text=True, check=False, user=here.user
                )
                if done.returncode == 0:
                    break
                time.sleep(0.1)
            assert done.returncode == 0, done.stderr
    finally:
        server.kill()
        server.wait()
        time.sleep(0.3)  # its child processes end by themselves


IN_PLACE = {name: MOMENTS[name] for name in list(MOMENTS)[:4]}


@pytest.mark.long
@pytest.mark.parametrize("moment", IN_PLACE.values(), ids=IN_PLACE.keys())
def test_an_unfinished_directory_of_an_earlier_release_is_moved_away(here: ServerFolder, moment: Moment) -> None:
    with initialized_by_the_image(here, moment):
        files = {path.relative_to(here.data) for path in here.data.rglob("*")}
    assert "was never finished, and nothing was stored in it" in here.initialized()
    (aside,) = kept_aside(here)
    assert {path.relative_to(aside) for path in aside.rglob("*")} >= files
    assert_works(here)


@pytest.mark.parametrize("statements", [(), ("CREATE ROLE langfuse LOGIN",)], ids=["no role", "no database"])
def test_a_directory_without_the_application_is_moved_away(here: ServerFolder, statements: tuple[str, ...]) -> None:
    with initialized_by_the_image(here):
        as_superuser(here, *statements)
    here.initialized()
    assert len(kept_aside(here)) == 1
    assert_works(here)


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE DATABASE langfuse",),
        ("CREATE TABLE somewhere (n int); CREATE TABLE more (n int); CHECKPOINT",),
        ("CREATE DATABASE gone", "CREATE TABLE a (t text)", "DROP TABLE a", "DROP DATABASE gone", "CHECKPOINT"),
    ],
    ids=["a database", "tables elsewhere", "a database that was dropped"],
)
def test_a_directory_with_any_data_is_not_touched(here: ServerFolder, statements: tuple[str, ...]) -> None:
    with initialized_by_the_image(here):
        as_superuser(here, *statements)
    inode = here.data.stat().st_ino
    assert "the data directory belongs to Postgres" in here.initialized()
    assert here.data.stat().st_ino == inode
    assert kept_aside(here) == []


def test_the_database_survives_later_starts(here: ServerFolder) -> None:
    here.initialized()
    assert_works(here)
    with here.serving() as server:
        server.query("INSERT INTO made VALUES (42)")
        stop_server(here.data)
    assert "the data directory belongs to Postgres" in here.initialized()
    with here.serving() as server:
        assert server.query("SELECT n FROM made") == "42"


def refused(here: ServerFolder) -> str:
    process = here.initialize()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert here.data.exists()
    assert kept_aside(here) == []
    return output


def test_a_data_directory_of_another_major_release_is_refused(here: ServerFolder) -> None:
    here.initialized()
    assert_works(here)
    own = (here.data / "PG_VERSION").read_text().strip()
    for other in (int(own) - 1, int(own) + 1):
        (here.data / "PG_VERSION").write_text(f"{other}\n")
        output = refused(here)
        assert f"the data directory belongs to Postgres {other}, which Postgres {own}." in output
        assert f"Set langfuse:postgres.version to a release of {other}" in output
    (here.data / "PG_VERSION").write_text(f"{own}\n")
    works_again = here.initialized()
    assert "the data directory belongs to Postgres" in works_again


def test_a_damaged_data_directory_is_refused(here: ServerFolder) -> None:
    here.initialized()
    (here.data / "PG_VERSION").unlink()
    assert "it is damaged. Nothing was changed" in refused(here)


@pytest.mark.parametrize("folder", ["", "base", "global"])
def test_a_data_directory_of_another_user_is_refused(here: ServerFolder, folder: str) -> None:
    if here.user is None:
        pytest.skip("needs root, to change the owner of a folder")
    here.initialized()
    shutil.chown(here.data / folder, "root")
    assert "can't read" in refused(here)
