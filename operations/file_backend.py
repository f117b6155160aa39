"""What a command that was killed leaves in a backend of files: its lock, and halves of what it was writing.

Only files are looked at. A lock in another kind of backend may be that of a machine that just has the same name.
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
"""Beside each file: its content type and checksum. What can't be parsed there makes the state unreadable, what is not
there is not missed (fileblob/attrs.go of gocloud.dev)."""
PARTIAL: Final = ".tmp"
"""A file that is being written, for a moment, before it is renamed (fileblob/fileblob.go)."""
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
        """Whether its process ran on this machine, so that it can be looked for."""
        return self.host == socket.gethostname()

    @property
    def is_held(self) -> bool:
        """Whether its process runs. Another program may have its number by now."""
        try:
            process = psutil.Process(self.pid)
            return "pulumi" in process.name() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def is_abandoned(stack: str, backend: str) -> bool:
    """Whether a stack is locked by a process that is gone.

    Raises:
        OperationError: A process holds the lock, or one on another machine may.
    """
    root = _root(backend)
    found = list(_locks(root / "locks" / "organization" / PROJECT / stack)) if root else []
    for lock in found:
        if lock and not lock.is_here:
            raise OperationError(
                f"stack {stack} is locked by {lock}, which can't be looked for from here. If it does not run any more: "
                f"python -m operations recover --stack {stack} --break-lock"
            )
        if lock and lock.is_held:
            raise OperationError(f"stack {stack} is being changed by {lock}; wait until it has ended")
    return bool(found)


def mend(stack: str, backend: str) -> bool:
    """Remove what makes the state of a stack unreadable, once nobody is at work on it. Returns whether there was any.

    A write of the state is first one of its attributes, in place, and then one that either happens or doesn't.
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
    """The locks in a folder; None for one that was never finished."""
    for file in sorted(folder.glob("*")):
        try:
            if file.name.endswith(PARTIAL):
                if time.time() - file.stat().st_mtime < PARTIAL_SECONDS:
                    raise OperationError(f"{file} has just been written; run the command again in a minute")
                yield None
            elif not file.name.endswith(ATTRIBUTES):
                lock = json.loads(file.read_text())
                yield Lock(lock["pid"], lock["username"], lock["hostname"], lock["timestamp"])
        except FileNotFoundError:  # just given back
            continue
        except (ValueError, KeyError, TypeError):
            raise OperationError(f"{file} is not a lock of Pulumi; look who wrote it, and delete it") from None


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
