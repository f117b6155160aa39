"""Langfuse web: the UI and the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.application.environment import WEB_PORT
from components.kubernetes.deployments import deployment
from components.kubernetes.files import config
from components.kubernetes.installation import Installation, child_options, config_map, service, service_account
from components.kubernetes.pods import Mount, container, http_probe, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.application import Workload as WorkloadSettings
from components.stores.connections import Endpoint

CONFIG = Path(__file__).parent / "config"

DRAIN_SECONDS = 110
"""web/src/utils/shutdown.ts: after SIGTERM, readiness fails and the server goes on for a fixed 110 s."""

GRACE_SECONDS = DRAIN_SECONDS + 20

MODULES = "/etc/langfuse"
MODULE = "close-connections.cjs"
"""Loaded by Node before the server starts: after SIGTERM each answer closes its connection (`config/`)."""

START_SECONDS = 240
"""A start takes 3 to 25 s; up to 164 s were seen on a node under heavy load. The schema and the first organization are
there before. A server that failed in its start goes on and answers every request with 500: it is restarted, and can be
ready before the Deployment counts as stuck (`deployments.PROGRESS_SECONDS`)."""


@dataclass(frozen=True, kw_only=True)
class WebArgs:
    """What web needs."""

    installation: Installation
    version: str
    settings: WorkloadSettings
    environment: Environment
    annotations: Mapping[str, pulumi.Input[str]]
    identity: Mapping[str, str]
    """Annotations of the service account, which stand for keys of the object store where there are none."""
    certificates: Sequence[Mount]
    """What the stores' own certificates are checked against."""
    after: Sequence[pulumi.Resource]
    """What must be there before the pods start: the migrated schema, the first organization and the stores."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": self.version, **self.settings.model_dump()}


class Web(pulumi.ComponentResource):
    """A Deployment that loses no request when its pods are replaced.

    Liveness asks only whether the process answers: a pod is not killed because a store is away.

    When a pod is deleted its endpoint goes, and the server drains. A proxy that follows endpoints, as Istio's gateways
    do, then drops its connections to the pod. Through kube-proxy, ztunnel or a load balancer of TCP, a connection that
    a client keeps open stays with its pod, so every answer after SIGTERM closes its connection. A preStop hook would
    add nothing: the server takes new connections for 110 s after SIGTERM.
    """

    endpoint: Endpoint

    def __init__(self, name: str, args: WebArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Web", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        workload = installation.workload("web", component="frontend", version=args.version)
        image = images.web(args.version)
        account = service_account(installation, workload, child, args.identity)
        service(installation, workload, {"http-web": WEB_PORT}, child)
        modules = config_map(installation, workload, "modules", {MODULE: config(CONFIG / MODULE)}, child)
        mounts = [
            Mount.config("modules", modules.metadata.name, MODULES),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
            Mount.scratch("next-cache", "/app/web/.next/cache"),
            *args.certificates,
        ]
        template = pod(
            workload,
            [
                container(
                    "web",
                    image,
                    resources=args.settings.resources,
                    mounts=mounts,
                    env=_with_module(args.environment),
                    ports={"http-web": WEB_PORT},
                    startup=http_probe("/api/public/health", WEB_PORT, period=5, failures=START_SECONDS // 5),
                    readiness=http_probe("/api/public/ready", WEB_PORT, period=5, failures=2),
                    liveness=http_probe("/api/public/health", WEB_PORT, period=15, failures=4, timeout=10),
                )
            ],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=args.annotations,
        )
        deployment(installation, workload, args.settings, template, child, after=args.after)
        self.endpoint = Endpoint(host=workload.resource_name, port=WEB_PORT)
        self.register_outputs({"url": self.endpoint.http_url})


def _with_module(environment: Environment) -> Environment:
    """The variables, with Node told to load the module; a value from a Secret is left as it is."""
    options = environment.get("NODE_OPTIONS", "")
    if not isinstance(options, str):
        return environment
    return {**environment, "NODE_OPTIONS": f"{options} --require={MODULES}/{MODULE}".strip()}
