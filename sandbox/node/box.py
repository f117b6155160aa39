"""The namespaces of a node, as the host sees them: started, entered, and ended with everything in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from sandbox import cache
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT, FOLDER_VARIABLE, Folder
from sandbox.node import cgroups, init, network, requirements
from sandbox.processes import Service, State, Supervisor, runs

NAME = "node"
REGISTRY = "registry"
NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child=SIGKILL")
LOCK = Path("/run/langfuse-sandbox.lock")
INSIDE_VARIABLE = "LANGFUSE_SANDBOX_INSIDE_NODE"
START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02


def is_inside() -> bool:
    """Whether this process runs in the namespaces of a node."""
    return INSIDE_VARIABLE in os.environ


class Box:
    """The namespaces of one sandbox's node."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._supervisor = Supervisor(folder.path)
        self._record = folder.path / "node" / "network.json"

    @property
    def network(self) -> network.Network | None:
        """The network that was chosen last."""
        return network.recorded_network(self._record)

    @property
    def is_running(self) -> bool:
        """Whether its process 1 runs."""
        return self._supervisor.state(NAME) is State.RUNNING and self._find_first_process() is not None

    def start(self) -> None:
        """Create the namespaces if they do not exist.

        Raises:
            SandboxError: The kernel refuses them, or the preparation inside failed.
        """
        if self.is_running:
            return
        self.stop()
        self._record.parent.mkdir(mode=0o700, exist_ok=True)
        init.ready_file(self._folder.path).unlink(missing_ok=True)
        with cache.exclusive(LOCK, lambda: None):  # until its address exists, another sandbox could choose it too
            chosen = network.choose(self._record)
            program = (sys.executable, "-m", init.__name__, str(self._folder.path), str(chosen.number))
            self._supervisor.start(Service(NAME, ("unshare", *NAMESPACES, *program), {"PATH": requirements.path()}))
            chosen.connect(self._wait_for_first_process())
        self._wait_until_ready()

    def serve_images(self) -> None:
        """Start the registry in these namespaces but on the host's network, where it can reach package mirrors.

        So it ends with the node.
        """
        from sandbox import images, releases  # noqa: PLC0415  # slow to import, and only this needs them
        from sandbox.node import config  # noqa: PLC0415

        chosen = self.network
        if chosen is None or self._supervisor.state(REGISTRY) is State.RUNNING:
            return
        words = (sys.executable, "-m", "sandbox.node.registry", chosen.host, str(config.REGISTRY_PORT))
        command = tuple(word for word in self.enter() if word != "--net")
        read = (images.VARIABLE, cache.CACHE_VARIABLE, releases.OFFLINE_VARIABLE)
        variables = {name: os.environ[name] for name in read if name in os.environ}
        self._supervisor.start(Service(REGISTRY, (*command, *words), {"PATH": requirements.path(), **variables}))

    def stop(self) -> None:
        """End every process inside. The kernel removes the mounts, interfaces and rules."""
        first = self._find_first_process()
        self._supervisor.stop((NAME, REGISTRY), force=True)
        deadline = time.monotonic() + STOP_SECONDS
        while first and runs(first) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if self.network and (first or not self.network.is_used):  # another sandbox may have the number meanwhile
            cgroups.remove(self.network.number)

    def run(self, command: str) -> str:
        """Run a command of `sandbox.node.inside`, and return what it printed. Its messages go to standard error.

        Raises:
            SandboxError: It failed.
        """
        done = subprocess.run(
            [*self.enter(), sys.executable, "-m", "sandbox.node.inside", command],
            env={
                **os.environ,
                "PATH": requirements.path(),
                INSIDE_VARIABLE: "true",
                FOLDER_VARIABLE: str(self._folder.path),
            },
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SandboxError(f"the node could not {command}", "fix the error above and run the command again")
        return done.stdout

    def enter(self) -> list[str]:
        """The command that runs the words after it inside.

        Raises:
            SandboxError: The node does not run.
        """
        target = f"--target={self.first_process().pid}"
        return ["nsenter", target, "--mount", "--net", "--pid", "--uts", "--ipc", "--wd"]

    def first_process(self) -> psutil.Process:
        """Process 1 of the namespaces.

        Raises:
            SandboxError: The node does not run.
        """
        first = self._find_first_process()
        if first is None:
            raise SandboxError("the node of this sandbox is not running", "start it with `make up NODE=real`")
        return first

    def _find_first_process(self) -> psutil.Process | None:
        """The only child of `unshare`."""
        report = self._supervisor.report(NAME)
        if report.state is not State.RUNNING or report.pid is None:
            return None
        try:
            return next(iter(psutil.Process(report.pid).children()), None)
        except psutil.Error:
            return None

    def _wait_for_first_process(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            first = self._find_first_process()
            if first and Path(f"/proc/{first.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
                return first.pid
            self._check()
            time.sleep(POLL_SECONDS)
        raise SandboxError("the namespaces of the node were not created in time", "try again on an idle machine")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not init.ready_file(self._folder.path).exists():
            self._check()
            if time.monotonic() > deadline:
                raise SandboxError("the node was not prepared in time", f"see {self._supervisor.log(NAME)}")
            time.sleep(POLL_SECONDS)

    def _check(self) -> None:
        if self._supervisor.state(NAME) is not State.RUNNING:
            lines = "\n    ".join(self._supervisor.last_lines(NAME))
            self.stop()
            raise SandboxError(
                f"the namespaces of the node could not be prepared:\n    {lines}",
                "check that root has CAP_SYS_ADMIN and CAP_NET_ADMIN here; a container usually has not",
            )
