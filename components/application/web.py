"""Langfuse web: the UI and the API."""

from collections.abc import Sequence

import pulumi

from components.application.component import ApplicationContext
from components.application.environment import WEB_PORT, web_environment
from components.application.modules import (
    CLOSE_CONNECTIONS,
    KEEP_REDIS_CONNECTIONS,
    LISTEN_ON_IPV6,
    modules_mount,
    with_modules,
)
from components.kubernetes.deployments import deployment
from components.kubernetes.objects import Scope, child_options, service, service_account
from components.kubernetes.pods import TMP, Mount, PodTemplate, container, http_probe, pod, secret_names
from components.schema import images
from components.schema.workloads import Web as WebSettings
from components.stores.connections import Endpoint

DRAIN_SECONDS = 110
"""After SIGTERM, readiness fails and the server continues for a fixed 110 s (web/src/utils/shutdown.ts)."""

GRACE_SECONDS = DRAIN_SECONDS + 20

NODE_MODULES = (CLOSE_CONNECTIONS, KEEP_REDIS_CONNECTIONS, LISTEN_ON_IPV6)

START_SECONDS = 240
"""A start takes 3 to 25 s, and up to 164 s on a node under heavy load. The schema and the first organization exist
before. A server whose start failed keeps running and answers every request with 500. The kubelet restarts it, and it
can become ready before the Deployment counts as stuck (`rollouts.round_seconds`)."""


COMPONENTS = {"web": "frontend", "web-ingestion": "ingestion"}
"""The label `app.kubernetes.io/component` of each Deployment."""


class Web(pulumi.ComponentResource):
    """Deployments that lose no request when their pods are replaced: one, or another one for the public API.

    The liveness probe only checks that the process answers. The outage of a store does not restart the pod.

    When a pod is deleted, its endpoint is removed and the server drains. A proxy that follows endpoints, such as
    Istio's gateways, then closes its connections to the pod. Through kube-proxy, ztunnel or a TCP load balancer, a
    connection that a client keeps open stays with its pod, so every response after SIGTERM closes its connection. A
    preStop hook would not help, because the server accepts connections for 110 s after SIGTERM.
    """

    endpoint: Endpoint
    api: Endpoint
    """What serves the public API: the same, or the Deployment of `web.ingestion`."""

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            opts: Options of the component.
            after: What must exist before the pods start: the schema, the first organization and the stores.
        """
        settings, version = context.settings, context.settings.version
        super().__init__("langfuse:index:Web", name, {"version": version, **settings.web.model_dump()}, opts)
        endpoints: list[Endpoint] = []
        for workload, own in settings.web_deployments.items():
            labelled = context.installation.workload(workload, component=COMPONENTS[workload], version=version)
            scope = Scope(labelled, child_options(self, opts))
            service(scope, {"http-web": WEB_PORT})
            deployment(scope, own, _template(context, scope, own), after=after)
            endpoints.append(Endpoint(host=labelled.resource_name, port=WEB_PORT))
        self.endpoint, self.api = endpoints[0], endpoints[-1]
        self.register_outputs({"url": self.endpoint.http_url})


def _template(context: ApplicationContext, scope: Scope, settings: WebSettings) -> PodTemplate:
    account = service_account(scope, context.stores.object_store.account_annotations)
    mounts = [
        modules_mount(scope, NODE_MODULES),
        TMP,
        Mount.scratch("next-cache", "/app/web/.next/cache"),
        *context.ca_bundles,
    ]
    environment = web_environment(context.settings, context.stores, context.refs, scope.workload.name)
    image = images.web(context.settings.version)
    server = container(
        "web",
        image,
        resources=settings.resources,
        mounts=mounts,
        env=with_modules(environment, NODE_MODULES),
        ports={"http-web": WEB_PORT},
        startup=http_probe("/api/public/health", WEB_PORT, period=5, failures=START_SECONDS // 5),
        readiness=http_probe("/api/public/ready", WEB_PORT, period=5, failures=2),
        liveness=http_probe("/api/public/health", WEB_PORT, period=15, failures=4, timeout=10),
    )
    return pod(
        scope.workload,
        [server],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        annotations=context.checksum_annotations(secret_names(environment)),
    )
