"""The NetworkPolicies that a service mesh needs: for its tunnel, its probes and its control plane. Pure functions."""

from collections.abc import Sequence

import pulumi_kubernetes as k8s

from components.network.egress import in_ranges, port_list
from components.schema.environment import Settings

Policy = k8s.networking.v1.NetworkPolicySpecArgsDict

TUNNEL_PORT = 15008
"""The port where all connections within the mesh arrive, whichever port they are for. The rules of the mesh check that
port (istio.io/latest/docs/ambient/usage/networkpolicy)."""

PROBES = ("169.254.7.127/32", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128")
"""The source addresses of the kubelet's probes in ambient mode (the same page)."""

CONTROL_PLANE_PORT = 15012
"""The port of istiod where sidecars get certificates and configuration
(istio.io/latest/docs/ops/deployment/application-requirements)."""


def tunnel_ports(settings: Settings) -> Sequence[int]:
    """Additional ports for every allowed client: that of the tunnel, if there is a mesh."""
    return [] if settings.mesh_mode == "none" else [TUNNEL_PORT]


def mesh_policies(settings: Settings) -> dict[str, Policy]:
    """The policies that the mesh needs for every pod."""
    match settings.mesh_mode:
        case "ambient":
            return {
                "allow-probes-ingress": {
                    "pod_selector": {},
                    "policy_types": ["Ingress"],
                    "ingress": [{"from_": [{"ip_block": {"cidr": cidr}} for cidr in PROBES]}],
                }
            }
        case "sidecar":
            istiod = {"kubernetes.io/metadata.name": settings.mesh.namespace}
            port: k8s.networking.v1.NetworkPolicyPortArgsDict = {"port": CONTROL_PLANE_PORT, "protocol": "TCP"}
            rules: list[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict] = [
                {"to": [{"namespace_selector": {"match_labels": istiod}}], "ports": [port]}
            ]
            if outside := settings.mesh.control_plane.ranges:
                rules.append({"to": in_ranges(outside), "ports": port_list(settings.mesh.control_plane.ports)})
            return {"allow-mesh-egress": {"pod_selector": {}, "policy_types": ["Egress"], "egress": rules}}
        case "none":
            return {}
