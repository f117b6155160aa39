"""The sandbox: one control plane in one folder, brought up, looked at, and taken down."""

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

from sandbox import cluster, services
from sandbox.cache import exclusive
from sandbox.certificates import Authority, ensure_signing_key, write_private
from sandbox.client import ApiError, Client
from sandbox.errors import SandboxError
from sandbox.folder import Folder
from sandbox.kubeconfig import kubeconfig
from sandbox.processes import Report, Service, State, Supervisor
from sandbox.progress import Steps, elapsed, say
from sandbox.seed import seed

if TYPE_CHECKING:
    from sandbox import manifests

READY_SECONDS = 240.0  # an idle machine needs a twentieth of it, one with much else to do a third
POLL_SECONDS = 0.05

CLI_TOOLS = ("kubectl", "pulumi")  # on PATH beside the control plane's own


@dataclass(frozen=True)
class Status:
    """What `status` tells. `state` is running, degraded (something is wrong) or stopped."""

    state: str
    folder: Path
    server: str | None
    ready: bool
    processes: list[Report]

    def as_json(self) -> str:
        """The same for programs."""
        return json.dumps(asdict(self), indent=2, default=str)


class Sandbox:
    """One control plane. Its state lies in one folder and survives `down`."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` defaults to `SANDBOX_DIR`, else to `.sandbox` in the checkout."""
        self.folder = Folder(folder)
        self._supervisor = Supervisor(self.folder.path)

    def up(self) -> None:
        """Start what does not run, and return when the cluster is ready for use."""
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
            with Steps(1).step(f"starting {', '.join(stale)}") if stale else nullcontext():
                self._start(plan, files, stale)
            install(self.folder.pulumi_home, Path(sys.executable))
        say(f"the sandbox is ready ({elapsed(start)}): {plan.url(services.API_SERVER)}")

    def down(self) -> None:
        """Stop every process, dependents first. The state stays."""
        if not self.folder.exists:
            return
        with self._exclusive():
            # Clients first: an API server waits for the requests that it serves.
            self._supervisor.stop((services.STORAGE, services.KWOK, services.SCHEDULER, services.CONTROLLERS))
            self._supervisor.stop((services.API_SERVER,))
            self._supervisor.stop((services.ETCD,))

    def reset(self) -> None:
        """Stop everything and delete the folder, Pulumi's state of the local stacks included."""
        if not self.folder.path.exists():
            return
        if self.folder.exists:
            with self._exclusive():  # nothing of it is kept, so nothing need be brought to an end
                self._supervisor.stop(services.SERVICES, at_once=True)
        self.folder.wipe()

    def status(self) -> Status:
        """What runs, what crashed, and whether the API server is ready."""
        reports = [self._supervisor.report(name) for name in services.SERVICES]
        states = {report.state for report in reports}
        port = self.folder.ports().get(services.API_SERVER)
        server = services.url(port) if port else None
        asked = server is not None and self._supervisor.state(services.API_SERVER) is State.RUNNING
        ready = asked and self._client(str(server)).answers("/readyz")
        if states == {State.STOPPED}:
            state = "stopped"
        else:
            state = "running" if ready and states == {State.RUNNING} else "degraded"
        return Status(state, self.folder.path, server, ready, reports)

    def environment(self) -> dict[str, str]:
        """The variables that make plain `pulumi` and `kubectl` use this sandbox."""
        if not self.folder.exists:
            raise SandboxError(f"there is no sandbox in {self.folder.path}", "run `python -m sandbox up` first")
        first = [str(self.folder.bin), str(Path(sys.executable).parent)]
        rest = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry not in first]
        return {
            "KUBECONFIG": str(self.folder.kubeconfig),
            "KUBECACHEDIR": str(
                self.folder.path / "kubectl"
            ),  # what was discovered here is not true of the next sandbox
            "PATH": os.pathsep.join([*first, *rest]),
            "PULUMI_HOME": str(self.folder.pulumi_home),
            "PULUMI_BACKEND_URL": f"file://{self.folder.backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder.passphrase),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",  # those that count are linked into PULUMI_HOME
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def _exclusive(self) -> AbstractContextManager[None]:
        file = self.folder.path / "lock"
        return exclusive(file, lambda: say("another command is at work on this sandbox; waiting for it"))

    def _plan(self, tools: dict[str, Path], kwok_stages: Path) -> services.Plan:
        """Decide on ports and write certificates and kubeconfigs: the inputs of every process."""
        running = [name for name in services.SERVICES if self._supervisor.state(name) is State.RUNNING]
        held = [port for port in services.PORTS if (services.ETCD if port == services.ETCD_PEER else port) in running]
        for name, port in self.folder.settle_ports(services.PORTS, held).items():
            say(f"port {port} of {name} is taken by another program; using {self.folder.ports()[name]} from now on")
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
        """Start or restart what is not as planned (`stale`), and wait until all of it works."""
        self._supervisor.stop(reversed(stale))

        def start(*names: str) -> None:
            for name in names:
                if name in stale:
                    self._supervisor.start(stale[name])

        client = self._client(plan.url(services.API_SERVER))
        start(services.ETCD)
        crds = files.read_crds()
        if services.API_SERVER in stale:
            etcd = self._client(plan.url(services.ETCD), "etcd-client", authority="etcd-ca")
            self._wait({"etcd is ready": lambda: etcd.answers("/health")})
            with _setting_up():
                seed(etcd, crds)
        start(services.API_SERVER, services.STORAGE)
        self._wait({"the API server is ready": lambda: client.answers("/readyz")})
        if services.KWOK in stale:
            cluster.release_nodes(client)
        start(services.KWOK)
        start(services.CONTROLLERS, services.SCHEDULER)  # these would give up
        controllers, scheduler = (self._client(plan.url(name)) for name in (services.CONTROLLERS, services.SCHEDULER))
        with _setting_up():
            cluster.furnish(client, crds)
        self._wait(
            {
                "the controller manager is ready": lambda: controllers.answers("/healthz"),
                "the scheduler is ready": lambda: scheduler.answers("/readyz"),
                "the default namespace has its service account": lambda: cluster.namespace_is_furnished(client),
                "the nodes are ready": lambda: cluster.nodes_are_ready(client),
                "the CRDs are served": lambda: cluster.crds_are_served(client, crds),
            }
        )
        self._wait({"the API server tells its schema": client.tells_schema})  # last: it has that of the CRDs, too

    def _wait(self, conditions: dict[str, Callable[[], bool]]) -> None:
        """Wait until every condition has held once; fail as soon as a process has died."""
        waiting = dict(conditions)
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            waiting = {what: condition for what, condition in waiting.items() if not _holds(condition)}
            self._check_processes()
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"after {READY_SECONDS:.0f} s it is still not so that " + ", that ".join(waiting),
                    f"read the logs in {self.folder.path / 'logs'}; `python -m sandbox reset` starts from nothing",
                )
            if waiting:
                time.sleep(POLL_SECONDS)

    def _check_processes(self) -> None:
        for name in services.SERVICES:
            if self._supervisor.state(name) is State.CRASHED:
                report = self._supervisor.report(name)
                raise SandboxError(
                    f"{name} ended right after its start:\n    " + "\n    ".join(report.last_lines),
                    f"see {report.log}; run `python -m sandbox up` again, or `python -m sandbox reset` first "
                    "to start from nothing",
                )

    def _client(self, server: str, user: str = services.ADMIN, *, authority: str = "ca") -> Client:
        pki = self.folder.pki
        return Client(server, pki / f"{authority}.crt", pki / f"{user}.crt", pki / f"{user}.key")


@contextmanager
def _setting_up() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise SandboxError(
            f"cannot set up the cluster: {error}", "run `python -m sandbox up` again; it continues where it stopped"
        ) from error


def _holds(condition: Callable[[], bool]) -> bool:
    """Whether a condition holds; a server that is only starting may still refuse to tell."""
    try:
        return condition()
    except ApiError:
        return False
