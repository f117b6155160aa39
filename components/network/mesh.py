"""Istio between the pods: mutual TLS alone, and the same connections allowed as by the NetworkPolicies.

The rules name identities and ports and nothing of HTTP, so that they mean the same to sidecars and to ztunnel
(istio.io/latest/docs/ambient/usage/l4-policy). Where the pods are in no mesh they have no effect: they are enforced by
the receiving side, and a gateway talks plainly to pods that can't answer otherwise
(istio.io/latest/docs/tasks/security/authentication/authn-policy, auto mutual TLS).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pydantic import JsonValue

from components.application.environment import WEB_PORT
from components.kubernetes.installation import Installation, child_options
from components.network.flows import CLOUDNATIVE_PG, flows
from components.schema.environment import Settings
from components.stores.object_store import minio

API_VERSION = "security.istio.io/v1"
MUTUAL_TLS = "mutual-tls"
ALLOW_NOTHING = "allow-nothing"

MESH_LABELS: Mapping[str, Mapping[str, str]] = {
    "ambient": {"istio.io/dataplane-mode": "ambient"},
    "sidecar": {"istio-injection": "enabled"},
    "none": {},
}
"""What makes the pods of a namespace part of the mesh, by its mode. Neither needs a pod that isn't restricted: ambient
changes no pod, and with Istio's CNI plugin a sidecar comes without the container that asks for NET_ADMIN."""


@dataclass(frozen=True, kw_only=True)
class MeshArgs:
    """What the rules need to know."""

    installation: Installation
    settings: Settings

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {**self.settings.mesh.model_dump(), "mode": self.settings.mesh_mode}


class Mesh(pulumi.ComponentResource):
    """A PeerAuthentication and AuthorizationPolicies: nothing is allowed but what is named.

    None is protected or retained: a rule that the program no longer has is deleted.
    """

    defaults: Sequence[pulumi.Resource]
    """The rules that require mutual TLS and deny by default. Pods depend on them."""

    def __init__(self, name: str, args: MeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Mesh", name, args.visible(), opts)
        child = child_options(self, opts)
        workload = args.installation.workload("mesh", component="network", version="1")
        specs: dict[tuple[str, str], Mapping[str, JsonValue]] = {
            **{("PeerAuthentication", role): spec for role, spec in authentication(args.settings).items()},
            **{("AuthorizationPolicy", role): spec for role, spec in authorization(args.settings).items()},
        }
        made = {
            role: k8s.apiextensions.CustomResource(
                f"langfuse-{role}",
                api_version=API_VERSION,
                kind=kind,
                metadata=args.installation.metadata(workload, name=f"langfuse-{role}"),
                spec=dict(spec),
                opts=child,
            )
            for (kind, role), spec in specs.items()
        }
        self.defaults = [made[MUTUAL_TLS], made[ALLOW_NOTHING]]
        self.register_outputs({})


def authentication(settings: Settings) -> dict[str, dict[str, JsonValue]]:
    """The PeerAuthentications by name: mutual TLS is required of everybody.

    CloudNativePG's pods are outside the mesh, so MinIO's port also accepts plain text from them. NetworkPolicies and
    MinIO's keys then decide who uses it. Archives in an external store are sent over HTTPS.
    """
    found: dict[str, dict[str, JsonValue]] = {MUTUAL_TLS: {"mtls": {"mode": "STRICT"}}}
    for flow in flows(settings):
        if flow.server and CLOUDNATIVE_PG in flow.clients:
            found[f"{flow.server}-archive"] = {
                "selector": {"matchLabels": {"app.kubernetes.io/name": flow.server}},
                "mtls": {"mode": "STRICT"},
                "portLevelMtls": {str(port): {"mode": "PERMISSIVE"} for port in flow.ports},
            }
    return found


def authorization(settings: Settings) -> dict[str, dict[str, JsonValue]]:
    """The AuthorizationPolicies by name. One without rules allows nothing; each other one adds to that."""
    outside = settings.network.web_clients
    rules: dict[str, list[JsonValue]] = {"web": _allow("namespaces", outside, [WEB_PORT])}
    for flow in flows(settings):
        if flow.server:
            accounts = [_identity(settings, client) for client in flow.clients if client != CLOUDNATIVE_PG]
            rules.setdefault(flow.server, []).extend(_allow("principals", accounts, flow.ports))
            if CLOUDNATIVE_PG in flow.clients:  # has no identity
                rules[flow.server].append({"to": _to(flow.ports)})
    if "object-store" in rules:
        rules["object-store"].extend(_allow("namespaces", outside, [minio.PORT]))
    return {
        ALLOW_NOTHING: {},
        **{
            f"into-{server}": {
                "action": "ALLOW",
                "selector": {"matchLabels": {"app.kubernetes.io/name": server}},
                "rules": allowed,
            }
            for server, allowed in rules.items()
        },
    }


def _identity(settings: Settings, workload: str) -> str:
    """The SPIFFE identity of a workload's service account, as Istio writes it."""
    return f"{settings.mesh.trust_domain}/ns/{settings.namespace}/sa/langfuse-{workload}"


def _allow(attribute: str, values: Sequence[str], ports: Sequence[int]) -> list[JsonValue]:
    """A rule for some sources, and none for none: one without sources would let everybody in."""
    if not values:
        return []
    return [
        {
            "from": [{"source": {attribute: list(values)}}],
            "to": _to(ports),
        }
    ]


def _to(ports: Sequence[int]) -> list[JsonValue]:
    return [{"operation": {"ports": [str(port) for port in ports]}}]
