"""The clients of an installation: their key pairs, and what they need in their own namespaces."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from components.application.component import ApplicationContext
from components.application.environment import WEB_PORT, client_environment
from components.application.first_start import initializing_job
from components.clients.connection import headers_variable, object_name, variables
from components.credentials.component import Credentials
from components.credentials.key_pairs import key_pair_secret
from components.kubernetes.objects import Scope, child_options
from components.network.egress import in_namespace, port_list
from components.network.mesh_policies import tunnel_ports
from components.schema.clients import Client
from components.schema.environment import Settings
from components.stores.contract import CLIENTS


class Clients(pulumi.ComponentResource):
    """A Job that creates the key pairs, and a Secret and a ConfigMap in the namespace of each client.

    Without a license, the API of Langfuse creates no keys. So the Job starts a web server for each client as the first
    start does, one at a time, and tries its keys. It runs again when a client, a key, the release or the settings of
    web change.

    Langfuse remembers for five minutes that it does not know a key (web/src/features/public-api/server/apiAuth.ts). So
    a client gets its keys only when they exist.
    """

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        credentials: Credentials,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings, stores and credentials.
            credentials: The key pairs.
            opts: Options of the component.
            after: The first organization and its project.
        """
        settings = context.settings
        configured = {each: client.model_dump() for each, client in settings.clients.items()}
        super().__init__("langfuse:index:Clients", name, configured, opts)
        workload = context.installation.workload(CLIENTS, component="clients", version=settings.version)
        self._scope = Scope(workload, child_options(self, opts))
        self._settings = settings
        inside = {each: client for each, client in sorted(settings.clients.items()) if client.namespace}
        maps = [self._config_map(each, client) for each, client in inside.items()]
        environments = {
            f"client-{each}": {**client_environment(settings, context.stores, context.refs, each), "CLIENT": each}
            for each in sorted(settings.clients)
        }
        # After the ConfigMaps, whose creation checks that their namespaces exist.
        created = initializing_job(self._scope, context, environments, after=[*after, *maps])
        for each, client in inside.items():
            key_pair_secret(
                self._in(client, [created]),
                each,
                credentials,
                store=settings.credentials.secret_store,
                headers=headers_variable(client),
            )
            if client.allow_egress:
                self._egress(each, self._in(client, maps))
        self.register_outputs({})

    def _in(self, client: Client, after: Sequence[pulumi.Resource] = ()) -> Scope:
        """The namespace of a client."""
        scope = self._scope.in_namespace(client.namespace or "")
        return Scope(scope.workload, scope.options(pulumi.ResourceOptions(depends_on=list(after))))

    def _config_map(self, name: str, client: Client) -> k8s.core.v1.ConfigMap:
        """It has a fixed name, which the application's own manifests contain."""
        scope = self._in(client)
        return k8s.core.v1.ConfigMap(
            object_name(name),
            metadata=scope.workload.metadata(object_name(name)),
            data=variables(self._settings, client),
            opts=scope.opts,
        )

    def _egress(self, name: str, scope: Scope) -> None:
        k8s.networking.v1.NetworkPolicy(
            object_name(name),
            metadata=scope.workload.metadata(object_name(name)),
            spec=egress(self._settings),
            opts=scope.opts,
        )


def egress(settings: Settings) -> k8s.networking.v1.NetworkPolicySpecArgsDict:
    """A network policy by which all pods of another namespace may connect to the public API of web."""
    web = in_namespace(settings.namespace, {"app.kubernetes.io/name": settings.api_host.removeprefix("langfuse-")})
    ports = port_list([WEB_PORT, *tunnel_ports(settings)])
    return {"pod_selector": {}, "policy_types": ["Egress"], "egress": [{"to": [web], "ports": ports}]}
