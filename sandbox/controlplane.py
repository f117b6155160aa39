"""The sandbox: one control plane in one folder, with its start, status and stop."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import cluster, crds, nodes, services
from sandbox.cache import exclusive
from sandbox.certificates import Authority, ensure_signing_key, kubeconfig, write_private
from sandbox.client import ApiError, Client, Json
from sandbox.errors import SandboxError
from sandbox.folder import LOOPBACK, Folder, Kind
from sandbox.node import requirements
from sandbox.node.box import Box, is_inside
from sandbox.nodes import Nodes, SimulatedNodes
from sandbox.processes import Report, Service, State, Supervisor
from sandbox.progress import Progress, elapsed, say

if TYPE_CHECKING:
    from sandbox.node.network import Network

READY_SECONDS = 240.0  # an idle machine needs a twentieth of it, a busy one a third
POLL_SECONDS = 0.05

CLI_TOOLS = ("kubectl", "pulumi")  # on PATH, in addition to the control plane's own


@dataclass(frozen=True)
class Status:
    """The status of the sandbox. `state` is `running`, `degraded` or `stopped`."""

    state: str
    folder: Path
    server: str | None
    ready: bool
    processes: list[Report]

    def as_json(self) -> str:
        """The status as JSON."""
        return json.dumps(asdict(self), indent=2, default=str)

    @classmethod
    def from_json(cls, text: str) -> Status:
        """Read the status that another process has written."""
        content = json.loads(text)
        reports = [
            Report(**{**report, "state": State(report["state"]), "log": Path(report["log"])})
            for report in content["processes"]
        ]
        return cls(**{**content, "folder": Path(content["folder"]), "processes": reports})


class Sandbox:
    """One control plane. Its state is in one folder and survives `down`."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` defaults to `SANDBOX_DIR`, else to `.sandbox` in the checkout."""
        self.folder = Folder(folder)
        self._supervisor = Supervisor(self.folder.path)
        self._box = Box(self.folder)

    def up(self, kind: Kind | None = None) -> None:
        """Start every process that does not run, and return when the cluster is ready.

        Args:
            kind: The kind of nodes. Default: that of the existing sandbox, else simulated ones.
        """
        from sandbox import manifests, toolchain  # noqa: PLC0415  # only `up` needs these
        from sandbox.plugins.install import cli, install  # noqa: PLC0415

        chosen = self._choose(kind)
        tools = toolchain.ensure((*services.CONTROL_PLANE, *nodes.TOOLS[chosen], *CLI_TOOLS))
        manifests.ensure()
        start = time.monotonic()
        self.folder.prepare(chosen)
        with self._exclusive():
            tools["pulumi"] = cli(tools["pulumi"], self.folder.path / "cli")
            self.folder.link_tools(tools)
            if chosen is Kind.REAL:
                self._box.start()
                self._box.serve_images()
                self._box.run("start")
            else:
                self.start()
            install(self.folder.pulumi_home)
        say(f"the sandbox is ready ({elapsed(start)}): {self._server()}")

    def _choose(self, kind: Kind | None) -> Kind:
        """The kind of nodes to start. Raises SandboxError if this sandbox has another, or this machine can't run it."""
        existing = self.folder.kind
        if kind and existing and kind != existing:
            raise SandboxError(
                f"the sandbox in {self.folder.path} has {existing} nodes, not {kind} ones",
                "delete it first with `python -m sandbox reset`, or set SANDBOX_DIR to another folder",
            )
        chosen = kind or existing or Kind.SIMULATED
        if chosen is Kind.REAL:
            requirements.check()
        return chosen

    def start(self) -> None:
        """Start the processes that do not run, where this process runs: for a real node, inside its namespaces."""
        from sandbox import manifests  # noqa: PLC0415

        files = manifests.ensure()
        found = self._nodes(files.kwok)
        plan = self._plan(found)
        processes = [*plan.services(), *found.processes(plan)]
        stale = {service.name: service for service in processes if not self._supervisor.is_current(service)}
        with Progress(1).step(f"starting {', '.join(stale)}") if stale else nullcontext():
            self._start(plan, found, files.read_crds(), stale)

    def down(self) -> None:
        """Stop all processes, dependents first, and keep the state."""
        if not self.folder.exists:
            return
        with self._exclusive():
            if self.folder.kind is Kind.SIMULATED:
                self.stop()
                return
            if self._box.is_running:
                self._box.run("stop")
            self._box.stop()

    def stop(self) -> None:
        """Stop the processes, where this process runs."""
        # Clients first, because the API server waits for the requests that it serves.
        servers = (services.ETCD, services.API_SERVER)
        self._supervisor.stop(name for name in reversed(self._names()) if name not in servers)
        self._supervisor.stop((services.API_SERVER,))
        self._supervisor.stop((services.ETCD,))

    def reset(self) -> None:
        """Stop all processes and delete the folder, with Pulumi's state of the local stacks."""
        if not self.folder.path.exists():
            return
        if self.folder.exists:
            with self._exclusive():  # the state is deleted, so no process has to shut down cleanly
                if self.folder.kind is Kind.REAL:
                    self._box.stop()
                else:
                    self._supervisor.stop(services.SERVICES, force=True)
        self.folder.wipe()

    def status(self) -> Status:
        """The state of each process, and whether the API server is ready."""
        if self.folder.kind is Kind.REAL and not is_inside() and self._box.is_running:
            with suppress(SandboxError):  # its namespaces end at this moment
                return Status.from_json(self._box.run("status"))
        reports = [self._supervisor.report(name) for name in self._names()]
        states = {report.state for report in reports}
        server = self._server()
        is_up = server is not None and self._supervisor.state(services.API_SERVER) is State.RUNNING
        ready = is_up and self._client(str(server)).is_healthy("/readyz")
        if states == {State.STOPPED}:
            state = "stopped"
        else:
            state = "running" if ready and states == {State.RUNNING} else "degraded"
        return Status(state, self.folder.path, server, ready, reports)

    def environment(self) -> dict[str, str]:
        """The environment variables with which `pulumi` and `kubectl` use this sandbox."""
        if not self.folder.exists:
            raise SandboxError(f"{self.folder.path} has no sandbox", "run `python -m sandbox up` first")
        first = [str(self.folder.bin), str(Path(sys.executable).parent)]
        rest = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry not in first]
        return {
            "KUBECONFIG": str(self.folder.kubeconfig),
            "KUBECACHEDIR": str(self.folder.path / "kubectl"),  # the next sandbox may serve other kinds
            "PATH": os.pathsep.join([*first, *rest]),
            "PULUMI_HOME": str(self.folder.pulumi_home),
            "PULUMI_BACKEND_URL": self.folder.backend_url,
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder.passphrase),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",  # the plugins to use are linked into PULUMI_HOME
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def _names(self) -> Sequence[str]:
        """The names of the processes, dependencies first."""
        return (*services.CONTROL_PLANE, *nodes.PROCESSES[self.folder.kind or Kind.SIMULATED])

    def _nodes(self, stages: Path) -> Nodes:
        if self.folder.kind is Kind.SIMULATED:
            return SimulatedNodes(stages)
        from sandbox.node.real import RealNode  # noqa: PLC0415

        return RealNode(self.folder, self._network())

    def _network(self) -> Network:
        network = self._box.network
        if network is None:
            raise SandboxError("the node of this sandbox has no network yet", "start it with `make up NODE=real`")
        return network

    def _server(self) -> str | None:
        """The URL of the API server; None before its first start."""
        port = self.folder.ports().get(services.API_SERVER)
        if port is None:
            return None
        return services.url(port, self._network().node if self.folder.kind is Kind.REAL else LOOPBACK)

    def _exclusive(self) -> AbstractContextManager[None]:
        file = self.folder.path / "lock"
        return exclusive(file, lambda: say("waiting for another command that uses this sandbox"))

    def _plan(self, found: Nodes) -> services.Plan:
        """Choose ports and write certificates and kubeconfigs: the inputs of every process."""
        running = [name for name in self._names() if self._supervisor.state(name) is State.RUNNING]
        held = [port for port in services.PORTS if (services.ETCD if port == services.ETCD_PEER else port) in running]
        for name, port in self.folder.choose_ports(services.PORTS, held).items():
            say(f"another program uses port {port} of {name}; using port {self.folder.ports()[name]} from now on")
        plan = services.Plan(
            self.folder, self.folder.ports(), found.address, found.api_server_flags, found.memory_limit
        )
        authority = Authority(self.folder.pki, "ca")
        authority.ensure((*services.identities(found.address), *found.identities))
        Authority(self.folder.pki, "etcd-ca").ensure(services.ETCD_IDENTITIES)
        ensure_signing_key(self.folder.pki, "service-account")
        for user in (services.ADMIN, services.CONTROLLERS, services.SCHEDULER, *found.users):
            content = kubeconfig(plan.url(services.API_SERVER), self.folder.pki, user)
            file = plan.kubeconfig(user)
            if not file.exists() or file.read_bytes() != content:
                write_private(file, content)
        return plan

    def _start(self, plan: services.Plan, found: Nodes, definitions: list[Json], stale: dict[str, Service]) -> None:
        """Start the `stale` processes, those that do not run or run with other inputs, and wait until all are ready."""
        self._supervisor.stop(reversed(stale))

        def start(*names: str) -> None:
            for name in names:
                if name in stale:
                    self._supervisor.start(stale[name])

        client = self._client(plan.url(services.API_SERVER))
        first = found.start_first()
        start(services.ETCD, *first)
        if services.API_SERVER in stale:
            etcd = self._client(plan.url(services.ETCD), "etcd-client", authority="etcd-ca")
            self._wait({"etcd is ready": lambda: etcd.is_healthy("/health")})
            with _bootstrapping():
                crds.preload(etcd, definitions)
        start(services.API_SERVER)
        ready = {f"{name} is ready": is_ready for name, is_ready in first.items()}
        self._wait({"the API server is ready": lambda: client.is_healthy("/readyz"), **ready})
        later = [name for name in stale if name not in services.CONTROL_PLANE and name not in first]
        if later:
            found.prepare(client)
        start(*later)
        start(services.CONTROLLERS, services.SCHEDULER)  # they exit if the API server is not ready
        controllers, scheduler = (self._client(plan.url(name)) for name in (services.CONTROLLERS, services.SCHEDULER))
        with _bootstrapping():
            cluster.bootstrap(client, found.objects(), definitions)
        self._wait(
            {
                "the controller manager is ready": lambda: controllers.is_healthy("/healthz"),
                "the scheduler is ready": lambda: scheduler.is_healthy("/readyz"),
                "pods can be created": lambda: cluster.pods_can_be_created(client),
                **found.conditions(client),
                "the CRDs are served": lambda: crds.are_served(client, definitions),
            }
        )
        self._wait({"the API server serves its schema": client.serves_openapi})  # last, with the schemas of the CRDs

    def _wait(self, conditions: dict[str, Callable[[], bool]]) -> None:
        """Wait until every condition has been true once; fail as soon as a process has exited."""
        waiting = dict(conditions)
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            waiting = {what: condition for what, condition in waiting.items() if not _holds(condition)}
            self._check_processes()
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"timed out after {READY_SECONDS:.0f} s waiting until {', '.join(waiting)}",
                    f"read the logs in {self.folder.path / 'logs'}; `python -m sandbox reset` deletes all state",
                )
            if waiting:
                time.sleep(POLL_SECONDS)

    def _check_processes(self) -> None:
        for name in self._names():
            if self._supervisor.state(name) is State.CRASHED:
                report = self._supervisor.report(name)
                raise SandboxError(
                    f"{name} exited right after its start:\n    " + "\n    ".join(report.last_lines),
                    f"see {report.log}; run `python -m sandbox up` again, or delete all state first with "
                    "`python -m sandbox reset`",
                )

    def _client(self, server: str, user: str = services.ADMIN, *, authority: str = "ca") -> Client:
        pki = self.folder.pki
        return Client(server, pki / f"{authority}.crt", pki / f"{user}.crt", pki / f"{user}.key")


@contextmanager
def _bootstrapping() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise SandboxError(
            f"cannot bootstrap the cluster: {error}", "run `python -m sandbox up` again; it continues where it failed"
        ) from error


def _holds(condition: Callable[[], bool]) -> bool:
    """Whether a condition is true; a server that is starting may still return errors."""
    try:
        return condition()
    except ApiError:
        return False
