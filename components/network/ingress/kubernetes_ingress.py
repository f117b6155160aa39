"""Ingresses for an ingress controller (kubernetes.io/docs/concepts/services-networking/ingress)."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

from components.kubernetes.objects import SKIP_AWAIT, Scope
from components.network.ingress.certificates import certificate_secret
from components.network.ingress.contract import CLOSE_INTERNAL_PATHS, RoutedKind
from components.network.ingress.controllers import CONTROLLERS, Controller
from components.network.ingress.rules import REQUEST_SECONDS, Routes, Rule, Servers
from components.schema.ingress import KubernetesIngress
from components.stores.connections import Endpoint, ObjectStoreConnection

CLOSED = "langfuse-closed"
ANNOTATIONS = "cert-manager.io/"

Path = k8s.networking.v1.HTTPIngressPathArgsDict
HostPaths = tuple[str, Sequence[Path]]
"""A host, and paths of it."""


class KubernetesIngressKind(RoutedKind[KubernetesIngress]):
    """One Ingress for each rule of a host, because annotations apply to a whole Ingress; one for all without them.

    The most specific path wins, whatever the order; a prefix matches whole segments.
    """

    @property
    def controller(self) -> Controller:
        """What the controller can do beyond an Ingress."""
        return CONTROLLERS[self.config.controller]

    @property
    def default_namespace(self) -> str | None:
        """The namespace where this kind of cluster has the controller."""
        namespace: str | None = getattr(self.settings.cluster.controllers, self.config.controller)
        return namespace

    @property
    def may_be_load_balancer(self) -> bool:
        """Whether the controller configures a load balancer of the cloud, as those of clouds do."""
        return self.config.controller == "other"

    def left_to_operator(self) -> Sequence[str]:
        """What the controller can't do by annotations or objects of the namespace."""
        if self.config.controller != "other":
            return self.controller.left_to_operator
        return [
            f"{CLOSE_INTERNAL_PATHS}. Their Ingress leads to the Service {CLOSED}, which has no pods: check that your "
            "controller answers with an error, and does not send the requests to web",
            f"Let requests take {REQUEST_SECONDS} seconds, and have any size",
            "Send the header Strict-Transport-Security",
            *self.health_checks(),
        ]

    @property
    def answers_challenges(self) -> bool:
        """cert-manager creates the Certificate of an annotation in the namespace of the Ingress."""
        return self.config.certificate is not None or any(
            key.startswith(ANNOTATIONS) for key in self.config.annotations
        )

    def create(self, scope: Scope, servers: Servers, store: ObjectStoreConnection) -> None:
        """The Ingresses, and what their annotations refer to."""
        routes = self.routes(servers, store)
        closed = servers.web if self.controller.refuses else Endpoint(host=CLOSED, port=80)
        found = [(public, rule) for public in routes.hosts for rule in public.rules]
        if self.controller.one_ingress:
            self._ingress(scope, routes, "langfuse", [(one.host, _paths(rule, closed)) for one, rule in found], {})
        else:
            for public, rule in found:
                name = public.name if rule.name == "web" else f"langfuse-{rule.name}"
                annotations = self.controller.annotations(scope, name, rule, tls=routes.tls)
                self._ingress(scope, routes, name, [(public.host, _paths(rule, closed))], annotations)
        if not self.controller.refuses:
            _closed_service(scope)

    def _ingress(
        self, scope: Scope, routes: Routes, name: str, paths: Sequence[HostPaths], annotations: Mapping[str, str]
    ) -> None:
        config = self.config
        of_host: dict[str, list[Path]] = {}
        for host, found in paths:
            of_host.setdefault(host, []).extend(found)
        spec: k8s.networking.v1.IngressSpecArgsDict = {
            "rules": [{"host": host, "http": {"paths": found}} for host, found in of_host.items()]
        }
        if config.class_name:
            spec["ingress_class_name"] = config.class_name
        if routes.tls:
            spec["tls"] = [self._tls(routes)]
        # SKIP_AWAIT: the address of the controller is not this stack's concern.
        metadata = scope.workload.metadata(name, {**annotations, **self._issuer(), **config.annotations, **SKIP_AWAIT})
        k8s.networking.v1.Ingress(name, metadata=metadata, spec=spec, opts=scope.opts)

    def _tls(self, routes: Routes) -> k8s.networking.v1.IngressTLSArgsDict:
        secret = self.config.tls_secret
        if self.config.certificate:
            secret = certificate_secret(self.settings.instance, self.config.certificate)
        tls: k8s.networking.v1.IngressTLSArgsDict = {"hosts": list(routes.names)}
        if secret:
            tls["secret_name"] = secret
        return tls

    def _issuer(self) -> Mapping[str, str]:
        """The annotation by which cert-manager creates a Certificate (cert-manager.io/docs/usage/ingress)."""
        certificate = self.config.certificate
        if certificate is None:
            return {}
        group, kind = certificate.issuer_group, certificate.issuer_kind
        if group == "cert-manager.io" and kind in {"ClusterIssuer", "Issuer"}:
            return {f"{ANNOTATIONS}{'cluster-issuer' if kind == 'ClusterIssuer' else 'issuer'}": certificate.issuer}
        values = {"issuer": certificate.issuer, "issuer-kind": kind, "issuer-group": group}
        return {f"{ANNOTATIONS}{key}": value for key, value in values.items()}


def _paths(rule: Rule, closed: Endpoint) -> Sequence[Path]:
    """The paths of a rule, which lead to its backend or to the one that refuses requests."""
    backend = rule.backend or closed
    return [
        {
            "path": path,
            "path_type": "Prefix",
            "backend": {"service": {"name": backend.host, "port": {"number": backend.port}}},
        }
        for path in ([prefix.rstrip("/") for prefix in rule.prefixes] or ["/"])
    ]


def _closed_service(scope: Scope) -> None:
    """A Service that selects no pods: requests for it are answered with an error."""
    k8s.core.v1.Service(
        CLOSED,
        metadata=scope.workload.metadata(CLOSED, SKIP_AWAIT),
        spec={"type": "ClusterIP", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        opts=scope.opts,
    )
