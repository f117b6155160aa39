"""The user's cache folder for built and downloaded tools. All checkouts share it; its entries are always complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.errors import SandboxError

CACHE_VARIABLE = "LANGFUSE_CACHE_DIR"
PARTIAL_PREFIX = ".partial-"


def root() -> Path:
    """The cache folder: `LANGFUSE_CACHE_DIR`, else the platform's folder for user caches."""
    if override := os.environ.get(CACHE_VARIABLE):
        return Path(override).expanduser().absolute()
    from platformdirs import user_cache_path  # noqa: PLC0415  # not needed when the variable is set

    return user_cache_path("langfuse-on-kubernetes")


@contextmanager
def exclusive(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file. If another process holds it, call `waiting` once and wait for the lock."""
    import fcntl  # noqa: PLC0415  # absent on Windows, where the command line refuses to start

    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` if the block succeeds and is deleted if it fails.

    A killed run leaves at most a folder with the partial prefix, which `tidy` removes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=folder.parent))
    try:
        yield partial
        if folder.exists():  # incomplete, because a complete one would have been used
            shutil.rmtree(folder)
        partial.rename(folder)
        folder.chmod(0o755)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def tidy(parent: Path) -> None:
    """Remove the partial folders of killed runs. The caller must hold the lock."""
    for partial in parent.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(partial, ignore_errors=True)


def no_space(what: str, detail: str) -> SandboxError:
    """The error for a full disk; `detail` names the file that could not be written."""
    return SandboxError(
        f"{what}: no space left on device: {detail}",
        f"free about 6 GiB and run the same command again (it continues where it failed), or set {CACHE_VARIABLE} "
        f"(now {root()}), GOCACHE, GOMODCACHE and TMPDIR to folders on a larger disk",
    )


@contextmanager
def disk_errors_explained(what: str) -> Iterator[None]:
    """Turn write errors of the operating system into a SandboxError with a fix."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_space(what, str(error.filename or root())) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
            raise SandboxError(
                f"{what}: cannot write {error.filename}: {error.strerror}",
                f"make the folder writable, or set {CACHE_VARIABLE} (now {root()}) to a writable folder",
            ) from error
        raise
