"""The lock and the half-written files that a killed command leaves in a backend of files.

Other kinds of backend are not inspected: a lock there may come from another machine of the same name.
"""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from components.schema.environment import PROJECT
from operations.errors import OperationError

SCHEME: Final = "file://"
ATTRIBUTES: Final = ".attrs"
"""The suffix of the file that holds another file's content type and checksum. If it can't be parsed, the state can't be
read; if it is missing, nothing happens (fileblob/attrs.go of gocloud.dev)."""
PARTIAL: Final = ".tmp"
"""The suffix of a file that is being written; it is renamed at the end (fileblob/fileblob.go)."""
PARTIAL_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Lock:
    """A lock as the CLI writes it (pkg/backend/diy/lock.go of Pulumi)."""

    pid: int
    user: str
    host: str
    since: str

    def __str__(self) -> str:
        """Who holds it."""
        return f"pulumi (pid {self.pid}) of {self.user}@{self.host} since {self.since}"

    @property
    def is_here(self) -> bool:
        """Whether its process ran on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_held(self) -> bool:
        """Whether its process is running. Another program may have got its process id."""
        try:
            process = psutil.Process(self.pid)
            return "pulumi" in process.name() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def is_abandoned(stack: str, backend: str) -> bool:
    """Whether a stack is locked by a process that is not running any more.

    Raises:
        OperationError: A running process holds the lock, or one on another machine may hold it.
    """
    root = _root(backend)
    found = list(_locks(root / "locks" / "organization" / PROJECT / stack)) if root else []
    for lock in found:
        if lock and not lock.is_here:
            raise OperationError(
                f"stack {stack} is locked by {lock}, on another machine. If that command is not running any more, run "
                f"`python -m operations recover --stack {stack} --break-lock`"
            )
        if lock and lock.is_held:
            raise OperationError(f"stack {stack} is being changed by {lock}; wait until it has finished")
    return bool(found)


def remove_partial_files(stack: str, backend: str) -> bool:
    """Remove half-written files, which make the state unreadable. Returns whether there were any.

    Call it when no command runs on the stack. The state itself is replaced in one step, after its attributes.
    """
    root = _root(backend)
    broken = [file for file in _of_state(root, stack) if _is_broken(file)] if root else []
    for file in broken:
        file.unlink(missing_ok=True)
    return bool(broken)


def _root(backend: str) -> Path | None:
    if not backend.startswith(SCHEME):
        return None
    return Path(backend.removeprefix(SCHEME).partition("?")[0]).expanduser() / ".pulumi"


def _locks(folder: Path) -> Iterator[Lock | None]:
    """The locks in a folder; None for one that was not completely written."""
    for file in sorted(folder.glob("*")):
        try:
            if file.name.endswith(PARTIAL):
                if time.time() - file.stat().st_mtime < PARTIAL_SECONDS:
                    raise OperationError(f"{file} was written a moment ago; run the command again in a minute")
                yield None
            elif not file.name.endswith(ATTRIBUTES):
                lock = json.loads(file.read_text())
                yield Lock(lock["pid"], lock["username"], lock["hostname"], lock["timestamp"])
        except FileNotFoundError:  # just released
            continue
        except (ValueError, KeyError, TypeError):
            raise OperationError(f"{file} is not a lock of Pulumi; find out who wrote it, then delete it") from None


def _of_state(root: Path, stack: str) -> Iterator[Path]:
    return (file for file in (root / "stacks" / PROJECT).glob(f"{stack}.json*") if file.is_file())


def _is_broken(file: Path) -> bool:
    if file.name.endswith(PARTIAL):
        return True
    if not file.name.endswith(ATTRIBUTES):
        return False
    try:
        return not isinstance(json.loads(file.read_text()), dict)
    except ValueError:
        return True
