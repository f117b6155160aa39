"""The sandbox folder, which holds all files of one sandbox."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from sandbox.certificates import PRIVATE_FOLDER, write_private
from sandbox.errors import SandboxError

CHECKOUT = Path(__file__).parent.parent
FOLDER_VARIABLE = "SANDBOX_DIR"
DEFAULT_FOLDER = ".sandbox"

LOOPBACK = "127.0.0.1"
# Below every system's range of ephemeral ports, so that a recorded port stays free while the sandbox is down.
PORTS = range(20_000, 30_000)
PORT_ATTEMPTS = 200

_KIND = "langfuse-sandbox"


class Kind(StrEnum):
    """A kind of nodes: simulated ones, on which nothing runs, or a real one."""

    SIMULATED = "simulated"
    REAL = "real"


class Folder:
    """One sandbox on disk: private, with a marker file, and never in a folder with other files."""

    def __init__(self, path: Path | None = None) -> None:
        """`path` defaults to `SANDBOX_DIR`, else to `.sandbox` in the checkout."""
        chosen = path or Path(os.environ.get(FOLDER_VARIABLE) or CHECKOUT / DEFAULT_FOLDER)
        self.path = chosen.expanduser().resolve()
        self.pki = self.path / "pki"
        self.etcd = self.path / "etcd"
        self.bin = self.path / "bin"
        self.kubeconfig = self.path / "kubeconfig"
        self.pulumi_home = self.path / "pulumi"
        self.backend = self.path / "backend"
        self.passphrase = self.path / "passphrase"
        self._marker = self.path / "sandbox.json"
        self._ports = self.path / "ports.json"

    @property
    def backend_url(self) -> str:
        """The URL of the backend that stores the states.

        Without `metadata=skip`, every write of a state truncates and rewrites a file of attributes beside it, and
        commands that read all stacks at that moment fail with "EOF" (gocloud.dev blob/fileblob, setAttrs).
        """
        return f"file://{self.backend}?metadata=skip"

    @property
    def exists(self) -> bool:
        """Whether this is a sandbox folder."""
        try:
            return bool(json.loads(self._marker.read_text())["kind"] == _KIND)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def kind(self) -> Kind | None:
        """The kind of nodes of this sandbox; None for a folder that is not a sandbox folder."""
        return Kind(json.loads(self._marker.read_text()).get("nodes", Kind.SIMULATED)) if self.exists else None

    def prepare(self, kind: Kind = Kind.SIMULATED) -> None:
        """Create the folder with its subfolders and passphrase; refuse a folder that has other files.

        Args:
            kind: The kind of nodes, which a sandbox keeps until it is reset.
        """
        if not self.exists:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise self._refusal("start a sandbox in")
            self.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.path.chmod(PRIVATE_FOLDER)
            write_private(self._marker, json.dumps({"kind": _KIND, "nodes": kind}).encode())
        for needed in (self.pki, self.bin, self.pulumi_home, self.backend):
            needed.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        if not self.passphrase.exists():
            write_private(self.passphrase, secrets.token_urlsafe(32).encode())

    def wipe(self) -> None:
        """Delete the folder; refuse one that is not a sandbox folder."""
        if not self.exists:
            raise self._refusal("wipe")
        shutil.rmtree(self.path)

    def _refusal(self, action: str) -> SandboxError:
        return SandboxError(
            f"will not {action} {self.path}: it is not a sandbox folder",
            f"set {FOLDER_VARIABLE} to a new folder or to one that `python -m sandbox up` has created",
        )

    def link_tools(self, tools: dict[str, Path]) -> None:
        """Link these tools into `bin`, by name."""
        for name, target in tools.items():
            link = self.bin / name
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)

    def ports(self) -> dict[str, int]:
        """The recorded port of each server."""
        try:
            return {str(name): int(port) for name, port in json.loads(self._ports.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def choose_ports(self, names: Collection[str], held: Collection[str]) -> dict[str, int]:
        """Keep each recorded port that is free or used by its own server (`held`), choose the others and record all.

        Returns the former ports that another program uses, by name.
        """
        recorded = self.ports()
        kept = {
            name: recorded[name] for name in names if name in recorded and (name in held or is_free(recorded[name]))
        }
        ports = dict(kept)
        for name in names:
            if name not in ports:
                ports[name] = _free_port(avoid=ports.values())
        if ports != recorded:
            write_private(self._ports, json.dumps(ports, indent=2).encode())
        return {name: recorded[name] for name in names if name in recorded and name not in kept}


def is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections that have just ended
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _free_port(avoid: Collection[int]) -> int:
    for port in random.sample(PORTS, PORT_ATTEMPTS):
        if port not in avoid and is_free(port):
            return port
    raise SandboxError(
        f"no free port between {PORTS.start} and {PORTS.stop - 1}",
        "stop the programs that listen there, or check that programs may listen on the loopback address",
    )
