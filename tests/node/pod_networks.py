"""Opens connections from the network namespaces of pods, which need no tools for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from sandbox.controlplane import Sandbox
from sandbox.node.box import Box

AGENT: Final = Path(__file__).with_name("pod_agent.py")
INTERFACE: Final = "outside"
POD: Final = re.compile(r"/pod([0-9a-f-]{36})/")
"""The uid of a pod in the path of a control group, as kubelet names it (driver cgroupfs)."""


class Target(NamedTuple):
    """Where to connect."""

    address: str
    port: int
    protocol: str = "TCP"


def all_processes() -> dict[str, list[int]]:
    """The processes of each pod on this machine, by the pod's uid."""
    found: dict[str, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                match = POD.search(Path(f"/proc/{entry}/cgroup").read_text())
            except OSError:  # it has ended
                continue
            if match:
                found.setdefault(match[1], []).append(int(entry))
    return found


def processes() -> dict[str, int]:
    """A process of each pod, by the pod's uid. All containers of a pod share its network."""
    return {uid: pids[0] for uid, pids in all_processes().items()}


def attempt(attempts: Mapping[int, Sequence[Target]]) -> dict[int, list[str]]:
    """Connect from the network of each process to its targets, all at once. `pod_agent.py` says what happened."""
    with ExitStack() as stack:
        running = {}
        for pid, targets in attempts.items():
            command = ["nsenter", f"--target={pid}", "--net", "--", sys.executable, str(AGENT)]
            agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running[pid] = stack.enter_context(agent)
            stack.callback(agent.kill)
            assert agent.stdin
            agent.stdin.write(json.dumps(targets) + "\n")
            agent.stdin.close()
        results = {}
        for pid, agent in running.items():
            assert agent.stdout
            printed = agent.stdout.read().splitlines()  # `ready`, and the results
            assert len(printed) == 2, f"the connections from process {pid} failed: see the error above"
            results[pid] = json.loads(printed[1])
    return results


@contextmanager
def outside(sandbox: Sandbox, addresses: Sequence[str]) -> Iterator[int]:
    """A machine beyond the node with these addresses, which stands in for the internet; yields a process on it.

    It has no servers: its kernel refuses every connection that reaches it. It disappears with its process.
    """
    unshare = ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
    with subprocess.Popen(unshare, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()  # its network exists
            _connect(Box(sandbox.folder).first_process().pid, holder.pid, addresses)
            yield holder.pid
        finally:
            holder.kill()


def _connect(node: int, machine: int, addresses: Sequence[str]) -> None:
    """Connect the networks of two processes, with routes to the addresses of the machine and back to the node."""
    to_machine = (f"ip route add {address} dev {INTERFACE} scope link" for address in addresses)
    own = (f"ip address add {address}/32 dev eth0" for address in addresses)
    _run(
        node,
        f"ip link add {INTERFACE} type veth peer name eth0 netns {machine}",
        f"ip link set {INTERFACE} up",
        *to_machine,
        f"echo 1 > /proc/sys/net/ipv4/conf/{INTERFACE}/proxy_arp",
    )
    _run(machine, "ip link set lo up", "ip link set eth0 up", *own, "ip route add default dev eth0")


def _run(pid: int, *commands: str) -> None:
    script = "set -e\n" + "\n".join(commands)
    command = ["nsenter", f"--target={pid}", "--net", "--", "sh", "-c", script]
    subprocess.run(command, check=True)
