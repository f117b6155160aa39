"""Certificates of the public hosts, issued by cert-manager."""

from components.kubernetes.objects import Scope, custom_resource
from components.network.ingress.rules import Routes
from components.schema.ingress import Certificate

SOLVER_LABELS = {"acme.cert-manager.io/http01-solver": "true"}
SOLVER_PORT = 8089
"""The pods in which cert-manager answers HTTP-01 challenges (pkg/issuer/acme/http), in the namespace of a
Certificate."""


def certificate_secret(instance: str, certificate: Certificate) -> str:
    """The Secret that receives the certificate of an installation."""
    return certificate.secret or f"{instance}-tls"


def create_certificate(scope: Scope, certificate: Certificate, routes: Routes, namespace: str) -> None:
    """A Certificate for the public hosts, in the namespace whose gateway reads its Secret.

    Its name contains that of the installation, because the namespace belongs to others.
    """
    instance = scope.workload.installation.instance
    spec = {
        "secretName": certificate_secret(instance, certificate),
        "dnsNames": list(routes.names),
        "issuerRef": {"group": certificate.issuer_group, "kind": certificate.issuer_kind, "name": certificate.issuer},
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
    }
    custom_resource(scope.in_namespace(namespace), "cert-manager.io/v1", "Certificate", spec, name=f"{instance}-tls")
