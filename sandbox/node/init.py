"""Process 1 of a node: prepares its mounts, then waits for orphaned processes to end.

It runs in new mount, network, pid, uts and ipc namespaces as `python -m sandbox.node.init FOLDER NUMBER`. When it ends,
the kernel ends every other process of the pid namespace and removes the mounts, interfaces and rules.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.node import cgroups
from sandbox.node.network import INSIDE, Network

NAME = "node1"
"""The host name, and the name of the Node."""
WAIT_SECONDS = 10.0

PRIVATE = ("/opt", "/var/lib", "/var/log")
"""Folders of the host in which containerd and kubelet create files: writes go to memory, in this namespace alone."""
KEPT: Mapping[str, str] = {
    "containerd": "/var/lib/containerd",
    "kubelet": "/var/lib/kubelet",
    "logs": "/var/log/pods",
    "cni": "/var/lib/cni",
}
"""Folders of the node in the sandbox's folder, and where they are mounted: the programs' defaults."""
KERNEL_SETTINGS: Mapping[str, str] = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
}
"""Settings of the whole machine that kubelet writes. It finds the values that it wants in files mounted over them."""


def ready_file(folder: Path) -> Path:
    """The file that exists once the node is prepared."""
    return folder / "node" / "ready"


def main() -> None:
    """Prepare the node, report it in the file, and reap processes forever."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    prepare(folder, Network(number))
    ready_file(folder).touch()
    while True:
        signal.sigwait({signal.SIGCHLD})
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def prepare(folder: Path, network: Network) -> None:
    """Prepare mounts, host name, network and control groups."""
    _run("mount", "--make-rshared", "/")  # volumes that are mounted later must appear in containerd's namespaces
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _mount_folders(folder)
    for setting, value in KERNEL_SETTINGS.items():
        file = Path("/run/kernel") / setting
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
        _run("mount", "--bind", str(file), f"/proc/sys/{setting}")
    socket.sethostname(NAME)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace
    _connect(network)
    cgroups.create(network.number)


def _mount_folders(folder: Path) -> None:
    """Mount what the programs write: to memory, or to the sandbox's folder what must survive a restart."""
    kept = Path("/run/sandbox/folder")
    kept.mkdir(parents=True)
    _run("mount", "--rbind", str(folder), str(kept))
    for path in PRIVATE:
        layers = Path("/run/sandbox/layers") / path[1:]
        upper, work = layers / "upper", layers / "work"
        for needed in (upper, work):
            needed.mkdir(parents=True)
        _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", path)
    if not os.path.samefile(folder, kept):  # the sandbox's folder is in one of them
        _run("mount", "--rbind", str(kept), str(folder))
    for name, path in KEPT.items():
        for needed in (kept / "node" / name, Path(path)):
            needed.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(kept / "node" / name), path)


def _connect(network: Network) -> None:
    """Wait for the interface and configure it. Kubelet needs a default route, although nothing forwards beyond it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while INSIDE not in {name for _, name in socket.if_nameindex()}:  # /sys shows the host's
        if time.monotonic() > deadline:
            sys.exit(f"error: there is no interface {INSIDE} after {WAIT_SECONDS:.0f} s")
        time.sleep(0.02)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{network.node}/30", "dev", INSIDE)
    _run("ip", "link", "set", INSIDE, "up")
    _run("ip", "route", "add", "default", "via", network.host)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
