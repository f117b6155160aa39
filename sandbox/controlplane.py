"""The sandbox: one control plane in one folder, with its start, status and stop."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import cluster, crds, services
from sandbox.cache import exclusive
from sandbox.certificates import Authority, ensure_signing_key, kubeconfig, write_private
from sandbox.client import ApiError, Client
from sandbox.errors import SandboxError
from sandbox.folder import Folder
from sandbox.processes import Report, Service, State, Supervisor
from sandbox.progress import Progress, elapsed, say

if TYPE_CHECKING:
    from sandbox import manifests

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


class Sandbox:
    """One control plane. Its state is in one folder and survives `down`."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` defaults to `SANDBOX_DIR`, else to `.sandbox` in the checkout."""
        self.folder = Folder(folder)
        self._supervisor = Supervisor(self.folder.path)

    def up(self) -> None:
        """Start every process that does not run, and return when the cluster is ready."""
        from sandbox import manifests, toolchain  # noqa: PLC0415  # only `up` needs these
        from sandbox.plugins.install import cli, install  # noqa: PLC0415

        tools = toolchain.ensure((*services.TOOLS, *CLI_TOOLS))
        files = manifests.ensure()
        start = time.monotonic()
        self.folder.prepare()
        with self._exclusive():
            tools["pulumi"] = cli(tools["pulumi"], self.folder.path / "cli")
            self.folder.link_tools(tools)
            plan = self._plan(tools, files.kwok)
            stale = {service.name: service for service in plan.services() if not self._supervisor.is_current(service)}
            with Progress(1).step(f"starting {', '.join(stale)}") if stale else nullcontext():
                self._start(plan, files, stale)
            install(self.folder.pulumi_home, Path(sys.executable))
        say(f"the sandbox is ready ({elapsed(start)}): {plan.url(services.API_SERVER)}")

    def down(self) -> None:
        """Stop all processes, dependents first, and keep the state."""
        if not self.folder.exists:
            return
        with self._exclusive():
            # Clients first, because the API server waits for the requests that it serves.
            self._supervisor.stop((services.STORAGE, services.KWOK, services.SCHEDULER, services.CONTROLLERS))
            self._supervisor.stop((services.API_SERVER,))
            self._supervisor.stop((services.ETCD,))

    def reset(self) -> None:
        """Stop all processes and delete the folder, with Pulumi's state of the local stacks."""
        if not self.folder.path.exists():
            return
        if self.folder.exists:
            with self._exclusive():  # the state is deleted, so no process has to shut down cleanly
                self._supervisor.stop(services.SERVICES, force=True)
        self.folder.wipe()

    def status(self) -> Status:
        """The state of each process, and whether the API server is ready."""
        reports = [self._supervisor.report(name) for name in services.SERVICES]
        states = {report.state for report in reports}
        port = self.folder.ports().get(services.API_SERVER)
        server = services.url(port) if port else None
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

    def _exclusive(self) -> AbstractContextManager[None]:
        file = self.folder.path / "lock"
        return exclusive(file, lambda: say("waiting for another command that uses this sandbox"))

    def _plan(self, tools: dict[str, Path], kwok_stages: Path) -> services.Plan:
        """Choose ports and write certificates and kubeconfigs: the inputs of every process."""
        running = [name for name in services.SERVICES if self._supervisor.state(name) is State.RUNNING]
        held = [port for port in services.PORTS if (services.ETCD if port == services.ETCD_PEER else port) in running]
        for name, port in self.folder.choose_ports(services.PORTS, held).items():
            say(f"another program uses port {port} of {name}; using port {self.folder.ports()[name]} from now on")
        plan = services.Plan(self.folder, tools, self.folder.ports(), kwok_stages)
        authority = Authority(self.folder.pki, "ca")
        authority.ensure(services.IDENTITIES)
        Authority(self.folder.pki, "etcd-ca").ensure(services.ETCD_IDENTITIES)
        ensure_signing_key(self.folder.pki, "service-account")
        for user in (services.ADMIN, services.CONTROLLERS, services.SCHEDULER, services.KWOK):
            content = kubeconfig(plan.url(services.API_SERVER), self.folder.pki, user)
            file = plan.kubeconfig(user)
            if not file.exists() or file.read_bytes() != content:
                write_private(file, content)
        return plan

    def _start(self, plan: services.Plan, files: manifests.Manifests, stale: dict[str, Service]) -> None:
        """Start the `stale` processes, those that do not run or run with other inputs, and wait until all are ready."""
        self._supervisor.stop(reversed(stale))

        def start(*names: str) -> None:
            for name in names:
                if name in stale:
                    self._supervisor.start(stale[name])

        client = self._client(plan.url(services.API_SERVER))
        start(services.ETCD)
        definitions = files.read_crds()
        if services.API_SERVER in stale:
            etcd = self._client(plan.url(services.ETCD), "etcd-client", authority="etcd-ca")
            self._wait({"etcd is ready": lambda: etcd.is_healthy("/health")})
            with _bootstrapping():
                crds.preload(etcd, definitions)
        start(services.API_SERVER, services.STORAGE)
        self._wait({"the API server is ready": lambda: client.is_healthy("/readyz")})
        if services.KWOK in stale:
            cluster.release_nodes(client)
        start(services.KWOK)
        start(services.CONTROLLERS, services.SCHEDULER)  # they exit if the API server is not ready
        controllers, scheduler = (self._client(plan.url(name)) for name in (services.CONTROLLERS, services.SCHEDULER))
        with _bootstrapping():
            cluster.bootstrap(client, definitions)
        self._wait(
            {
                "the controller manager is ready": lambda: controllers.is_healthy("/healthz"),
                "the scheduler is ready": lambda: scheduler.is_healthy("/readyz"),
                "pods can be created": lambda: cluster.pods_can_be_created(client),
                "the nodes are ready": lambda: cluster.nodes_are_ready(client),
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
        for name in services.SERVICES:
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
