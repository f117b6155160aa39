"""Checks of what web and worker can connect to, and of the mesh."""

import json
from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from components.application.queue_scaling import keda_namespace
from components.network.ingress.component import ingress_kind
from components.network.policies import IPV6
from components.schema.environment import Settings
from components.schema.ingress import NoIngress


def allowed_pods_have_an_address(settings: Settings) -> Iterator[str]:
    """Langfuse itself refuses private addresses that are not allowed, even if the network allows them."""
    for use, targets in settings.allowed_targets:
        if targets.pods and not (targets.hosts or targets.ips or targets.ranges):
            yield (
                f"allowedTargets.{to_camel(use)}.pods: have no effect, because Langfuse refuses their addresses; add "
                "the name that users enter to hosts"
            )


def operator_is_in_another_namespace(settings: Settings) -> Iterator[str]:
    """The network policies of the namespace deny what the operator needs."""
    namespace = settings.cluster.operators.cloudnative_pg
    if settings.postgres.mode == "cloudnativepg" and namespace == settings.namespace:
        yield (
            f"namespace: {json.dumps(namespace)} contains the operator (cluster.operators.cloudnativePg), and the "
            "network policies of the namespace would cut it off; use another namespace"
        )


def egress_rules_have_a_destination(settings: Settings) -> Iterator[str]:
    """A rule without destinations would allow nothing, and two with one name would be one network policy."""
    seen: set[str] = set()
    for number, rule in enumerate(settings.network.egress):
        key = f"network.egress.{number}"
        if not rule.ranges and rule.namespace is None:
            yield f"{key}: has no destination; set ranges or namespace"
        if rule.labels and rule.namespace is None:
            yield f"{key}.labels: have no effect without a namespace; set namespace"
        name = rule.name.removesuffix(IPV6)  # the policy of a rule with ranges of both versions of IP
        if name in seen:
            yield f"{key}.name: {json.dumps(rule.name)} is used twice; give each rule its own name"
        seen.add(name)


def sidecar_keys_have_an_effect(settings: Settings) -> Iterator[str]:
    """Only sidecars have revisions and outbound policies: they would have no effect on pods in ambient mode."""
    if settings.mesh.revision and settings.mesh_mode != "sidecar":
        yield (
            f"mesh.revision: {json.dumps(settings.mesh.revision)} has no effect in mode {settings.mesh_mode}, only "
            "sidecars have revisions; remove it, or set mesh.mode to sidecar"
        )
    if settings.mesh.control_plane.ranges and settings.mesh_mode != "sidecar":
        yield (
            f"mesh.controlPlane.ranges: have no effect in mode {settings.mesh_mode}, only sidecars connect to the "
            "control plane; remove them, or set mesh.mode to sidecar"
        )
    if settings.mesh.outbound_traffic == "mesh" and settings.mesh_mode != "sidecar":
        yield (
            f'mesh.outboundTraffic: "mesh" has no effect in mode {settings.mesh_mode}, only sidecars keep connections '
            "back; remove it, or set mesh.mode to sidecar"
        )


def clients_outside_the_mesh_are_clients(settings: Settings) -> Iterator[str]:
    """A namespace that may not connect at all needs no exception from mutual TLS."""
    outside = settings.mesh.outside_clients or []
    if outside and settings.mesh_mode == "none":
        yield "mesh.outsideClients: has no effect without a mesh; remove it, or set mesh.mode"
        return
    for name in outside:
        if name not in [*settings.client_namespaces, *keda_namespace(settings)]:
            yield (
                f"mesh.outsideClients: {json.dumps(name)} is not in network.webClients and not the namespace of a "
                "client, so its pods can't connect; add it there, or remove it here"
            )


def mesh_knows_the_ingress(settings: Settings) -> Iterator[str]:
    """A proxy outside the mesh sends plain text, which mutual TLS refuses: every request would fail with a reset."""
    ingress = settings.ingress
    if (
        settings.mesh_mode == "none"
        or isinstance(ingress, NoIngress)
        or ingress.joins_mesh
        or ingress.proxy.mesh is not None
    ):
        return
    entrance = ingress_kind(settings).entrance()
    if entrance is not None and entrance.namespace:
        yield (
            f"ingress.proxy.mesh: is required with ingress.kind {ingress.kind} and mesh.mode {settings.mesh_mode}; set "
            f"it to true if the pods of the proxy (namespace {entrance.namespace}) are in the mesh, otherwise to false"
        )
