"""Certificates of the public hosts, issued by cert-manager."""

import pulumi_kubernetes as k8s

from components.kubernetes.objects import Scope
from components.network.ingress.rules import Routes
from components.schema.ingress import Certificate


def certificate_secret(scope: Scope, certificate: Certificate) -> str:
    """The Secret that receives the certificate."""
    return certificate.secret or f"{scope.workload.installation.instance}-tls"


def create_certificate(scope: Scope, certificate: Certificate, routes: Routes, namespace: str) -> None:
    """A Certificate for the public hosts, in the namespace whose gateway reads its Secret.

    Its name contains that of the installation, because the namespace belongs to others.
    """
    secret = certificate_secret(scope, certificate)
    spec = {
        "secretName": secret,
        "dnsNames": list(routes.names),
        "issuerRef": {"group": "cert-manager.io", "kind": certificate.issuer_kind, "name": certificate.issuer},
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
    }
    name = f"{scope.workload.installation.instance}-tls"
    k8s.apiextensions.CustomResource(
        name,
        api_version="cert-manager.io/v1",
        kind="Certificate",
        metadata={**scope.workload.metadata(name), "namespace": namespace},
        spec=spec,
        opts=scope.opts,
    )
