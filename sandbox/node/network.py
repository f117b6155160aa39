"""The addresses of a node: each has a small network of its own between it and the host."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.certificates import write_private
from sandbox.errors import SandboxError

INSIDE = "node0"
"""The interface inside the node. The one of the host has the node's number in its name."""
POD_RANGE = "10.244.0.0/24"
DNS = "10.96.0.10"
_PROGRAM = "ip"
NUMBERS = range(1, 255)


@dataclass(frozen=True)
class Network:
    """The network between one node and the host: `number` tells it from those of other sandboxes."""

    number: int

    @property
    def host(self) -> str:
        """The address of the host's end."""
        return f"10.250.{self.number}.1"

    @property
    def node(self) -> str:
        """The address of the node."""
        return f"10.250.{self.number}.2"

    @property
    def range(self) -> str:
        """The range of both addresses."""
        return f"10.250.{self.number}.0/30"

    @property
    def interface(self) -> str:
        """The name of the host's end."""
        return f"lfnode{self.number}"

    @property
    def is_used(self) -> bool:
        """Whether a node on this machine has it."""
        return Path(f"/sys/class/net/{self.interface}").exists()

    def connect(self, process: int) -> None:
        """Create the interfaces, the inner one in the network namespace of a process.

        They disappear with that namespace, and the routes with them.
        """
        _ip("link", "add", self.interface, "type", "veth", "peer", "name", INSIDE, "netns", str(process))
        _ip("address", "add", f"{self.host}/30", "dev", self.interface)
        _ip("link", "set", self.interface, "up")


def choose(file: Path) -> Network:
    """The network of a sandbox: the recorded one if no other sandbox uses it now, else a free one, which is recorded.

    Args:
        file: The record.

    Raises:
        SandboxError: All networks are in use.
    """
    taken = {
        address["local"]
        for interface in json.loads(_ip("-json", "address"))
        for address in interface.get("addr_info", ())
        if "local" in address
    }
    recorded = recorded_network(file)
    candidates = ([recorded] if recorded else []) + [Network(number) for number in NUMBERS]
    for network in candidates:
        if network.host not in taken:
            write_private(file, json.dumps({"number": network.number}).encode())
            return network
    raise SandboxError("all networks between 10.250.1.0/30 and 10.250.254.0/30 are in use", "stop other sandboxes")


def recorded_network(file: Path) -> Network | None:
    """The network that was chosen last; None if there is none."""
    try:
        return Network(int(json.loads(file.read_text())["number"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ip(*words: str) -> str:
    done = subprocess.run([_PROGRAM, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(
            f"`ip {' '.join(words)}` failed: {done.stderr.strip()}",
            "check that root may create network interfaces here (CAP_NET_ADMIN)",
        )
    return done.stdout
