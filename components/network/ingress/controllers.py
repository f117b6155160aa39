"""What ingress controllers can do beyond an Ingress: headers, time limits and sizes, each in its own way."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from components.kubernetes.names import content_name
from components.kubernetes.objects import Scope, config_map, custom_resource
from components.network.ingress.rules import Rule

FILE_HEADERS = "file-headers"


class Controller(ABC):
    """A controller that is known to this program."""

    one_ingress: bool = False
    """Whether one Ingress has all rules. Otherwise, each rule has its own, because annotations apply to all of it."""
    left_to_operator: Sequence[str] = ()
    """What only its own configuration can set."""
    refuses: bool = False
    """Whether annotations refuse requests. Otherwise, closed paths lead to a Service without pods."""

    @abstractmethod
    def annotations(self, scope: Scope, name: str, rule: Rule, *, tls: bool) -> Mapping[str, str]:
        """The annotations of the Ingress of a rule. Creates the objects that they refer to."""


class Nginx(Controller):
    """ingress-nginx (kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations).

    It sends Strict-Transport-Security by default, and closes an Ingress whose Service has no pods with 503. An
    annotation can only replace headers of a response: `Content-Security-Policy` of pages is left as Langfuse sends it,
    and cookies reach the object store, which ignores them.
    """

    left_to_operator = (
        "Add Content-Security-Policy and X-Content-Type-Options to global-allowed-response-headers in the ConfigMap "
        "of ingress-nginx. Without it, every request for a file is answered with 503",
    )

    def annotations(self, scope: Scope, name: str, rule: Rule, *, tls: bool) -> Mapping[str, str]:
        """Time limits, sizes, and the security headers of files."""
        found = {
            "proxy-read-timeout": str(rule.seconds),
            "proxy-send-timeout": str(rule.seconds),
            "proxy-body-size": "0",
            # Session cookies of single sign-on exceed the default of 4k, which is answered with 502.
            "proxy-buffer-size": "16k",
            "ssl-redirect": "true" if tls else "false",
        }
        if rule.name == "buckets":
            found["proxy-request-buffering"] = "off"  # uploads are not kept on the controller's disk
            found["custom-headers"] = self._headers(scope, rule)
        return {f"nginx.ingress.kubernetes.io/{key}": value for key, value in found.items()}

    def _headers(self, scope: Scope, rule: Rule) -> str:
        """A ConfigMap with headers.

        A header that the controller does not allow closes the Ingress with 503
        (internal/ingress/annotations/customheaders/main.go).
        """
        headers = {
            _canonical(key): value
            for key, value in rule.set_in_response.items()
            if key != "strict-transport-security"  # the controller sends it
        }
        config_map(scope, FILE_HEADERS, headers)
        name = content_name(f"{scope.workload.resource_name}-{FILE_HEADERS}", headers)
        return f"{scope.workload.installation.namespace}/{name}"


class Traefik(Controller):
    """Traefik with its provider for Ingresses and its own resources (doc.traefik.io/traefik).

    It has no limit for sizes. A header of a middleware replaces that of a response, so `Content-Security-Policy` of
    pages is left as Langfuse sends it.
    """

    left_to_operator = (
        "Raise transport.respondingTimeouts.readTimeout of Traefik's entry point to 600 seconds or more. The default "
        "of 60 seconds ends long uploads",
    )
    refuses = True  # it ignores a path whose Service has no pods, and a shorter path may then lead to web

    def annotations(self, scope: Scope, name: str, rule: Rule, *, tls: bool) -> Mapping[str, str]:
        """The middleware with the headers, or one that refuses everything."""
        found = {"router.tls": "true", "router.entrypoints": "websecure"} if tls else {}
        if spec := _refuse() if rule.backend is None else _traefik_headers(rule):
            custom_resource(scope, "traefik.io/v1alpha1", "Middleware", spec, name=name)
            found["router.middlewares"] = f"{scope.workload.installation.namespace}-{name}@kubernetescrd"
        return {f"traefik.ingress.kubernetes.io/{key}": value for key, value in found.items()}


class Other(Controller):
    """A controller that is not known: a plain Ingress.

    Some controllers have a load balancer for each Ingress (that of Google Cloud), or refuse a second one with the same
    host (that of F5 NGINX), so there is one for all rules.
    """

    one_ingress = True

    def annotations(self, scope: Scope, name: str, rule: Rule, *, tls: bool) -> Mapping[str, str]:
        """None."""
        return {}


CONTROLLERS: Mapping[str, Controller] = {"nginx": Nginx(), "traefik": Traefik(), "other": Other()}


def _refuse() -> Mapping[str, object]:
    """No address is in the list, so every request is refused. An empty list is an error."""
    return {"ipAllowList": {"sourceRange": ["255.255.255.255/32"], "rejectStatusCode": 404}}


def _traefik_headers(rule: Rule) -> Mapping[str, object]:
    """An empty value removes a header."""
    response = {_canonical(key): value for key, value in rule.set_in_response.items()}
    response |= {_canonical(key): "" for key in rule.remove_from_response}
    request = {_canonical(key): "" for key in rule.remove_from_request}
    headers = {"customRequestHeaders": request, "customResponseHeaders": response}
    found = {key: value for key, value in headers.items() if value}
    return {"headers": found} if found else {}


def _canonical(header: str) -> str:
    """A header as it is usually written: controllers compare names with their case."""
    return "-".join(part.capitalize() for part in header.split("-"))
