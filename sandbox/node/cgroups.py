"""The control groups of a node: one group in every hierarchy, in which kubelet creates those of the pods.

They are the only thing of a node that outlives its namespaces, so `remove` must follow its end. A group that is left
blocks the next start of kubelet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
"""The controllers of version 2 that kubelet requires (k8s.io/kubernetes/pkg/kubelet/cm/util/cgroups_linux.go)."""
REMOVE_SECONDS = 10.0


def group(number: int) -> str:
    """The name of the group of a node, by the number of its network."""
    return f"/lfnode{number}"


def create(number: int) -> None:
    """Create the groups of a node."""
    name = group(number)[1:]
    if is_unified():
        enable = " ".join(f"+{controller}" for controller in CONTROLLERS)
        (ROOT / "cgroup.subtree_control").write_text(enable)
        (ROOT / name).mkdir(exist_ok=True)
        (ROOT / name / "cgroup.subtree_control").write_text(enable)
        return
    for hierarchy in _hierarchies("cgroup"):
        made = hierarchy / name
        made.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, which then accepts no process
            if (made / file).exists():
                (made / file).write_text((hierarchy / file).read_text())


def remove(number: int) -> None:
    """Remove the groups of a node whose processes have ended; wait a few seconds for the last of them."""
    name = group(number)[1:]
    roots = [hierarchy / name for hierarchy in _hierarchies("cgroup", "cgroup2")]  # runc uses both if both exist
    deadline = time.monotonic() + REMOVE_SECONDS
    while (left := [root for root in roots if root.exists()]) and time.monotonic() < deadline:
        for root in left:
            for folder in sorted((root, *root.rglob("*/")), key=lambda path: len(path.parts), reverse=True):
                with suppress(OSError):  # a process is still ending, or it is gone already
                    folder.rmdir()
        time.sleep(0.05)


def is_unified() -> bool:
    """Whether this machine has version 2 of control groups alone."""
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies(*kinds: str) -> Iterator[Path]:
    """The mounted hierarchies of these kinds of file systems: `cgroup` is version 1, `cgroup2` version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind in kinds:
            yield Path(mount_point)
