"""The containers of a real node, as its kernel and its container runtime see them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from sandbox.controlplane import Sandbox
from sandbox.node import cgroups
from sandbox.node.box import Box
from tests.engine.view import Json

RUNTIME: Final = "containerd://"
"""What container ids in a pod's status start with."""


@dataclass(frozen=True)
class Containers:
    """The containers on a node."""

    node: Sandbox

    def first_process(self) -> psutil.Process:
        """Process 1 of the node."""
        return Box(self.node.folder).first_process()

    def kill_kubelet(self) -> None:
        """Kill kubelet with SIGKILL. `Sandbox.up` starts it again."""
        (kubelet,) = (p for p in self.first_process().children(recursive=True) if p.name() == "kubelet")
        kubelet.send_signal(signal.SIGKILL)
        kubelet.wait(timeout=10)

    def kill(self, pod: Json) -> None:
        """Kill the first process of each container of a pod with SIGKILL, as the kernel does if memory runs out."""
        found = self._pids()
        for container in running(pod):
            self._inside("kill", "-9", str(found[container]))

    def killed_for_memory(self, pod: Json) -> int:
        """How many processes in the running containers of a pod the kernel has killed for their memory."""
        found = self._pids()
        total = 0
        for container in running(pod):
            listed = self._inside("cat", f"/proc/{found[container]}/cgroup").splitlines()
            groups = {line.split(":")[1]: line.split(":", 2)[2] for line in listed}
            if cgroups.is_unified():
                file = cgroups.ROOT / groups[""].lstrip("/") / "memory.events"
            else:
                file = cgroups.ROOT / "memory" / groups["memory"].lstrip("/") / "memory.oom_control"
            total += dict(_pairs(file))["oom_kill"]
        return total

    def _pids(self) -> Mapping[str, int]:
        """The first process of each container, by its id. It is the pid inside the node."""
        lines = self._inside("ctr", "--namespace", "k8s.io", "tasks", "list").splitlines()[1:]
        return {container: int(pid) for container, pid, *_ in map(str.split, lines)}

    def _inside(self, *words: str) -> str:
        done = subprocess.run([*Box(self.node.folder).enter(), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


def running(pod: Json) -> list[str]:
    """The ids of the running containers of a pod."""
    return [
        str(status["containerID"]).removeprefix(RUNTIME)
        for status in pod["status"]["containerStatuses"]
        if "running" in status["state"]
    ]


def restarts(pod: Json) -> Mapping[str, int]:
    """How often each container of a pod was started again, init containers too."""
    kinds = ("initContainerStatuses", "containerStatuses")
    return {status["name"]: status["restartCount"] for kind in kinds for status in pod["status"].get(kind, [])}


def ends(pod: Json) -> list[str]:
    """How each container of a pod ended that did not succeed: `CONTAINER: REASON`."""
    kinds = ("initContainerStatuses", "containerStatuses")
    return [
        f"{status['name']}: {ended['reason']}, exit code {ended['exitCode']}"
        for kind in kinds
        for status in pod["status"].get(kind, [])
        for when in ("state", "lastState")
        if (ended := status.get(when, {}).get("terminated")) and ended["exitCode"]
    ]


def _pairs(file: Path) -> Iterator[tuple[str, int]]:
    for line in file.read_text().splitlines():
        name, value = line.split()
        yield name, int(value)
