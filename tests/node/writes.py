"""Failed writes of the pods on a real node, as the kernel's tracing reports them.

The kernel records each system call of the processes of the node's containers that creates, opens for writing, renames
or removes a file, and fails with EROFS (the file system is read-only), EACCES or EPERM (the user may not).

What it does not see: writes that a program does not even try because a check before told it not to (access(2)), and
writes to a full disk. It reports the program and the system call, not the path.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

REFUSALS: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
CHANGING: Final = (
    *("creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "rmdir", "unlink"),
    *("unlinkat", "link", "linkat", "symlink", "symlinkat", "truncate", "chmod", "fchmod", "fchmodat", "fchmodat2"),
    *("chown", "fchown", "fchownat", "lchown"),
)
"""System calls that change a file system."""
OPENING: Final = ("open", "openat")
"""System calls that open files, for writing if their flags say so."""
RUNTIMES: Final = ("containerd", "containerd-shim", "runc", "exe", "ptp", "portmap", "host-local", "loopback")
"""Programs that prepare containers, and are no part of them."""
BUFFER_KIB: Final = 16_384  # for each processor

_LINE: Final = re.compile(r"^\s*(?P<command>.+)-(?P<thread>\d+)\s+\[\d+\].*?: (?P<call>sys_\w+)(?P<rest>.*)$")


@dataclass(frozen=True)
class FailedWrite:
    """A system call that failed."""

    program: str
    call: str
    error: str


@contextmanager
def recorded(first: psutil.Process) -> Iterator[list[FailedWrite]]:
    """Record the failed writes of all containers of the node with this process 1. The list has them after the block."""
    found: list[FailedWrite] = []
    with tempfile.TemporaryDirectory() as mounted:
        subprocess.run(["/bin/mount", "-t", "tracefs", "tracefs", mounted], check=True)
        instance = Path(mounted) / "instances" / f"failed-writes-{os.getpid()}"
        instance.mkdir()
        try:
            _start(instance, _threads(first))
            yield found
            (instance / "tracing_on").write_text("0")
            _check_nothing_was_lost(instance)
            found += failed_writes((instance / "trace").read_text().splitlines())
        finally:
            (instance / "events" / "enable").write_text("0")
            instance.rmdir()
            subprocess.run(["/bin/umount", mounted], check=True)


def failed_writes(lines: Iterable[str]) -> Iterator[FailedWrite]:
    """The failed writes in the lines of a trace. The flags of an open file are in the line where its call starts."""
    writes: dict[str, bool] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None or match["command"].startswith(RUNTIMES):
            continue
        thread, call, rest = match["thread"], match["call"], match["rest"]
        if rest.startswith("("):
            flags = re.search(r"flags: (?:0x)?([0-9a-f]+)", rest)
            writes[thread] = flags is not None and bool(int(flags[1], 16) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            continue
        result = re.search(r"-> 0x([0-9a-f]+)", rest)
        code = 2**64 - int(result[1], 16) if result else 0
        name = call.removeprefix("sys_")
        if name in OPENING and not writes.pop(thread, False):
            continue
        yield FailedWrite(match["command"].strip(), name, errno.errorcode[code])


def _start(instance: Path, threads: Iterable[int]) -> None:
    events = instance / "events" / "syscalls"
    refused = " || ".join(f"ret == -{code}" for code in REFUSALS)
    (instance / "buffer_size_kb").write_text(str(BUFFER_KIB))
    (instance / "options" / "event-fork").write_text("1")  # the children of these processes are recorded too
    (instance / "set_event_pid").write_text(" ".join(map(str, threads)))
    for call in (*CHANGING, *OPENING):
        (events / f"sys_exit_{call}" / "filter").write_text(refused)
        (events / f"sys_exit_{call}" / "enable").write_text("1")
    for call in OPENING:
        (events / f"sys_enter_{call}" / "enable").write_text("1")


def _threads(first: psutil.Process) -> set[int]:
    """The threads of the container runtime, which starts all containers, and of the containers that run."""
    found: set[int] = set()
    for runtime in first.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if runtime.name().startswith("containerd"):
                for process in (runtime, *runtime.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        found |= {thread.id for thread in process.threads()}
    return found


def _check_nothing_was_lost(instance: Path) -> None:
    for statistics in instance.glob("per_cpu/cpu*/stats"):
        lost = int(re.search(r"overrun: (\d+)", statistics.read_text())[1])  # type: ignore[index]  # always there
        assert not lost, f"{lost} events were lost: BUFFER_KIB is too small for this long a record"
