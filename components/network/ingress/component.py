"""The ingress of an installation, in its configured kind."""

from typing import Any

import pulumi

from components.application.component import ApplicationContext
from components.kubernetes.objects import Scope, child_options
from components.network.ingress.contract import IngressKind
from components.network.ingress.gateway_api import GatewayApiKind
from components.network.ingress.istio import IstioKind
from components.network.ingress.kubernetes_ingress import KubernetesIngressKind
from components.network.ingress.none import NoIngressKind
from components.network.ingress.rules import Servers
from components.schema.environment import Settings
from components.schema.ingress import GatewayApiIngress, IstioIngress, KubernetesIngress, NoIngress


def ingress_kind(settings: Settings) -> IngressKind[Any]:
    """The configured kind. A new kind is one more case."""
    match settings.ingress:
        case IstioIngress() as config:
            return IstioKind(settings, config)
        case GatewayApiIngress() as config:
            return GatewayApiKind(settings, config)
        case KubernetesIngress() as config:
            return KubernetesIngressKind(settings, config)
        case NoIngress() as config:
            return NoIngressKind(settings, config)


class Ingress(pulumi.ComponentResource):
    """The public routes: to the UI and the API, and for signed links to the buckets."""

    def __init__(self, name: str, context: ApplicationContext, servers: Servers, opts: pulumi.ResourceOptions) -> None:
        kind = ingress_kind(context.settings)
        super().__init__("langfuse:index:Ingress", name, dict(kind.visible()), opts)
        scope = Scope(context.installation.workload("web", component="ingress"), child_options(self, opts))
        kind.create(scope, servers, context.stores.object_store)
        self.register_outputs({"url": context.settings.public_url})
