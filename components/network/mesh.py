"""Istio between the pods: strict mutual TLS, and rules that allow the same connections as the NetworkPolicies.

Rules name identities and ports and no property of HTTP, so they mean the same to sidecars and to ztunnel
(istio.io/latest/docs/ambient/usage/l4-policy). They have no effect on pods outside a mesh: the receiving side enforces
them, and a gateway sends plain text to pods that can't answer otherwise
(istio.io/latest/docs/tasks/security/authentication/authn-policy, auto mutual TLS).
"""

from collections.abc import Iterable, Mapping, Sequence

import pulumi
from pydantic import JsonValue

from components.application.own_metrics import scrapes
from components.kubernetes.installation import Installation
from components.kubernetes.objects import Scope, child_options, custom_resource
from components.network.flows import flows, public_ports
from components.network.ingress.certificates import SOLVER_LABELS, SOLVER_PORT
from components.network.ingress.component import ingress_kind
from components.schema.environment import Settings
from components.stores.contract import Scrape
from components.stores.modes import StoreModes

API_VERSION = "security.istio.io/v1"
NETWORKING_API_VERSION = "networking.istio.io/v1"
MUTUAL_TLS = "mutual-tls"
ALLOW_NOTHING = "allow-nothing"
CHALLENGES = "certificate-challenges"


def mesh_labels(settings: Settings) -> Mapping[str, str]:
    """Labels that add the pods of a namespace to the mesh.

    All pods stay restricted: ambient changes no pod, and with Istio's CNI plugin a sidecar needs no container with
    NET_ADMIN. The label of a revision has no effect beside `istio-injection`
    (istio.io/latest/docs/setup/upgrade/canary), so only one of them is set.
    """
    match settings.mesh_mode:
        case "ambient":
            return {"istio.io/dataplane-mode": "ambient"}
        case "sidecar":
            revision = settings.mesh.revision
            return {"istio.io/rev": revision} if revision else {"istio-injection": "enabled"}
        case "none":
            return {}


class Mesh(pulumi.ComponentResource):
    """A PeerAuthentication and AuthorizationPolicies, which deny everything that no rule allows.

    None is protected or retained: a rule that the program no longer has is deleted.
    """

    defaults: list[pulumi.Resource]
    """The rules that require mutual TLS, deny by default and let sidecars connect. Pods depend on them."""

    def __init__(
        self,
        name: str,
        installation: Installation,
        settings: Settings,
        stores: StoreModes,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("langfuse:index:Mesh", name, {**settings.mesh.model_dump(), "mode": settings.mesh_mode}, opts)
        scope = Scope(installation.workload("mesh", component="network"), child_options(self, opts))
        specs = {
            **{("PeerAuthentication", role): spec for role, spec in authentication(settings, stores).items()},
            **{("AuthorizationPolicy", role): spec for role, spec in authorization(settings, stores).items()},
        }
        created = {
            role: custom_resource(scope, API_VERSION, kind, spec, name=f"langfuse-{role}")
            for (kind, role), spec in specs.items()
        }
        self.defaults = [created[MUTUAL_TLS], created[ALLOW_NOTHING]]
        if spec := sidecar(settings):
            outbound = custom_resource(scope, NETWORKING_API_VERSION, "Sidecar", spec, name="langfuse-outbound")
            self.defaults.append(outbound)
        self.register_outputs({})


def authentication(settings: Settings, stores: StoreModes) -> dict[str, dict[str, JsonValue]]:
    """The PeerAuthentications by name: mutual TLS is required.

    Pods that an operator creates are outside the mesh, so the port of the object store also accepts their plain text.
    NetworkPolicies and the keys then control the access. Archives in an external store are sent over HTTPS.

    The same holds for web and signed links if clients or the ingress are outside the mesh, for Redis if KEDA is, and
    for metrics if Prometheus is.
    """
    plain: dict[str, tuple[str, set[int]]] = {}  # one for each server: of several, Istio applies only the oldest
    for flow in flows(settings, stores):
        if flow.server and _outside(settings, flow.operators):
            plain.setdefault(flow.server, ("operators", set()))[1].update(flow.ports)
        if flow.server and flow.from_operator_pods and stores.operator_pods:
            plain.setdefault(flow.server, ("archive", set()))[1].update(flow.ports)
    for scrape in _scrapes_in_mesh(settings, stores):
        if not _prometheus_in_mesh(settings):
            plain.setdefault(scrape.server, ("metrics", set()))[1].add(scrape.port)
    if _has_outside_clients(settings):
        for server, port in public_ports(settings, stores).items():
            plain.setdefault(server, ("public", set()))[1].add(port)
    exceptions: dict[str, dict[str, JsonValue]] = {
        f"{server}-{role}": _plain_text(_name_label(server), ports) for server, (role, ports) in plain.items()
    }
    if _challenges_in_mesh(settings):
        exceptions[CHALLENGES] = _plain_text(SOLVER_LABELS, [SOLVER_PORT])
    return {MUTUAL_TLS: {"mtls": {"mode": "STRICT"}}, **exceptions}


def _plain_text(labels: Mapping[str, str], ports: Iterable[int]) -> dict[str, JsonValue]:
    """Pods of which some ports also accept plain text."""
    return {
        "selector": {"matchLabels": {**labels}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {str(port): {"mode": "PERMISSIVE"} for port in sorted(ports)},
    }


def _challenges_in_mesh(settings: Settings) -> bool:
    """Whether pods of cert-manager are in the mesh.

    They refuse a sidecar, but ambient mode takes in every pod of the namespace. Whether the proxy that leads to them is
    in the mesh or not, the tokens that they serve are public.
    """
    return settings.mesh_mode == "ambient" and ingress_kind(settings).answers_challenges


def authorization(settings: Settings, stores: StoreModes) -> dict[str, dict[str, JsonValue]]:
    """The AuthorizationPolicies by name. One has no rules and allows nothing; each of the others allows more."""
    rules: dict[str, list[JsonValue]] = {name: [] for name in settings.web_deployments}
    for flow in flows(settings, stores):
        if flow.server and flow.protocol == "TCP":
            accounts = [_identity(settings, client) for client in flow.clients]
            rules.setdefault(flow.server, []).extend(_allow("principals", accounts, flow.ports))
            rules[flow.server].extend(_allow("namespaces", [*flow.operators], flow.ports))
            from_outside = _outside(settings, flow.operators) or (flow.from_operator_pods and stores.operator_pods)
            if from_outside:  # they have no identity in the mesh
                rules[flow.server].append({"to": _to(flow.ports)})
    for server, port in public_ports(settings, stores).items():
        rules.setdefault(server, []).extend(_allow("namespaces", _inside_clients(settings), [port]))
        if _has_outside_clients(settings):  # they have no identity in the mesh
            rules[server].append({"to": _to([port])})
    for scrape in _scrapes_in_mesh(settings, stores):
        own = rules.setdefault(scrape.server, [])
        if settings.monitoring and _prometheus_in_mesh(settings):
            own += _allow("namespaces", [settings.monitoring.prometheus.namespace], [scrape.port])
        else:  # it has no identity in the mesh
            own.append({"to": _to([scrape.port])})
    allowed = {f"allow-{server}": _allow_rules(_name_label(server), found) for server, found in rules.items()}
    if _challenges_in_mesh(settings):
        allowed[f"allow-{CHALLENGES}"] = _allow_rules(SOLVER_LABELS, [{"to": _to([SOLVER_PORT])}])
    return {ALLOW_NOTHING: {}, **allowed}


def sidecar(settings: Settings) -> dict[str, JsonValue] | None:
    """The Sidecar of the namespace: its pods may connect to addresses that the mesh does not know.

    A mesh with `outboundTrafficPolicy: REGISTRY_ONLY` would cut them off from external stores, model providers and
    everything else outside. The network policies list what they may reach. ServiceEntries could not do this: users
    enter hosts of model providers and webhooks at run time, and the address of a mail server is in a Secret. In ambient
    mode, ztunnel passes such connections on (istio.io/latest/docs/reference/config/networking/sidecar).
    """
    if settings.mesh_mode != "sidecar" or settings.mesh.outbound_traffic == "mesh":
        return None
    return {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}


def _scrapes_in_mesh(settings: Settings, stores: StoreModes) -> Sequence[Scrape]:
    """Metrics of pods in the mesh. Those that an operator creates are outside."""
    return [scrape for scrape in scrapes(settings, stores) if scrape.labels is None]


def _prometheus_in_mesh(settings: Settings) -> bool:
    return settings.monitoring is not None and settings.monitoring.prometheus.mesh


def _inside_clients(settings: Settings) -> Sequence[str]:
    """Namespaces in the mesh whose pods connect to web and to the object store."""
    entrance = ingress_kind(settings).entrance()
    outside = settings.mesh.outside_clients or []
    clients = [name for name in settings.client_namespaces if name not in outside]
    own = [entrance.namespace] if entrance and entrance.in_mesh and entrance.namespace else []
    return list(dict.fromkeys([*clients, *own]))


def _outside(settings: Settings, namespaces: Iterable[str]) -> list[str]:
    """Those of the namespaces whose pods are not in the mesh."""
    return [name for name in namespaces if name in (settings.mesh.outside_clients or [])]


def _has_outside_clients(settings: Settings) -> bool:
    """Whether clients without an identity in the mesh connect to web and to the object store."""
    entrance = ingress_kind(settings).entrance()
    outside = _outside(settings, settings.client_namespaces)
    return bool(outside) or bool(entrance and (not entrance.in_mesh or entrance.ranges))


def _allow_rules(labels: Mapping[str, str], rules: list[JsonValue]) -> dict[str, JsonValue]:
    return {"action": "ALLOW", "selector": {"matchLabels": {**labels}}, "rules": rules}


def _name_label(server: str) -> Mapping[str, str]:
    return {"app.kubernetes.io/name": server}


def _identity(settings: Settings, workload: str) -> str:
    """The SPIFFE identity of a workload's service account, in Istio's notation."""
    return f"{settings.mesh.trust_domain}/ns/{settings.namespace}/sa/langfuse-{workload}"


def _allow(attribute: str, values: Sequence[str], ports: Sequence[int]) -> list[JsonValue]:
    """A rule for sources, if there are any. A rule without sources would allow everyone."""
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
