"""Sign-in to Langfuse: public address, sign-up, sessions, and settings that production leaves off."""

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import LangfuseRole, langfuse_role, langfuse_servers
from langfuse_policies.facts.langfuse_environment import Variables, certainly_not_true, host_of, missing, url_of
from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("langfuse-sign-in", title="Langfuse: sign-in and hardening", pack="security")

_HARDENING = "Langfuse: hardening guide"
_DEFAULT_SESSION_MINUTES = 43200  # web/src/env.mjs
#: Fields with the hosts of routes.
_ROUTES = {
    "networking.istio.io/VirtualService": "spec.hosts",
    "gateway.networking.k8s.io/HTTPRoute": "spec.hostnames",
    "networking.k8s.io/Ingress": "spec.rules",
}


def _servers(pod: Pod, *roles: LangfuseRole) -> Iterator[Container]:
    """The containers of a pod that run one of these."""
    for container in pod.containers:
        if container.restarts and langfuse_role(container) in roles:
            yield container


@topic.servers(
    "nextauth-url-https",
    title="NEXTAUTH_URL is the public address with https",
    why="Sign-in redirects people and their tokens to this address, and links in emails use it.",
    fix="Set NEXTAUTH_URL to https:// and the public host, without a path.",
    severity=Severity.HIGH,
    langfuse=True,
)
def nextauth_url_https(pod: Pod) -> Findings:
    for container in _servers(pod, "web"):
        value = container.variable("NEXTAUTH_URL")["value"]
        url = url_of(value.text)
        if missing(container, "NEXTAUTH_URL"):
            yield finding(container["env"], "NEXTAUTH_URL is not set")
        elif url is None or not value.present:
            continue
        elif url.scheme != "https":
            yield finding(value, "the public address is not https")
        elif url.query or url.fragment or not (url.path in {"", "/"} or url.path.endswith("/api/auth")):
            yield finding(value, "it has a path that web does not serve")


@topic.stack(
    "nextauth-url-routed",
    title="A route leads from NEXTAUTH_URL to web",
    why="Otherwise sign-in redirects to an address that nothing serves, or that another application serves.",
    fix="Set NEXTAUTH_URL to a host of the VirtualService, HTTPRoute or Ingress in front of web.",
    severity=Severity.HIGH,
    langfuse=True,
)
def nextauth_url_routed(stack: Stack) -> Findings:
    hosts = _routed_hosts(stack)
    variables = Variables(stack)
    for pod, container, role in langfuse_servers(stack):
        routed = hosts.get(pod.resource.namespace)
        setting = variables.setting(pod, container, "NEXTAUTH_URL") if role == "web" else None
        if not routed or setting is None or setting.value is None:
            continue
        host = host_of(url_of(setting.value))
        if host and not any(fnmatchcase(host, pattern) for pattern in routed):
            yield finding(setting.place, "no route of this namespace has this host", pod.resource)


def _routed_hosts(stack: Stack) -> dict[str, set[str]]:
    """The hosts of routes by namespace; none for a namespace with a route for every host, or for unknown ones."""
    found: dict[str, set[str]] = defaultdict(set)
    for route in stack.of(*_ROUTES):
        hosts = route.at(_ROUTES[route.kind])
        named = [host["host"] if route.kind.endswith("Ingress") else host for host in hosts]
        texts = [(host.text or "*").lower() for host in named]
        found[route.namespace].update(texts or ["*"])
    return found


class SessionLength(Settings):
    """The length of sessions."""

    minutes: Annotated[int, Meta(ge=6, description="Maximum minutes of a session; the default is a week.")] = 10080


@topic.servers(
    "sign-up-closed",
    title="Sign-up requires an invitation",
    why="By default everyone who can reach Langfuse can create an account and an organization.",
    fix="Set AUTH_DISABLE_SIGNUP=true, or AUTH_DISABLE_USERNAME_PASSWORD=true if everyone uses single sign-on.",
    severity=Severity.HIGH,
    also_in=(_HARDENING,),
    langfuse=True,
)
def sign_up_closed(pod: Pod) -> Findings:
    for container in _servers(pod, "web"):
        if _sign_up_open(container):
            place = container.variable("AUTH_DISABLE_SIGNUP")["value"]
            yield finding(place if place.present else container["env"], "AUTH_DISABLE_SIGNUP is not true")


def _sign_up_open(container: Container) -> bool:
    by_password = certainly_not_true(container, "AUTH_DISABLE_USERNAME_PASSWORD")
    return by_password and certainly_not_true(container, "AUTH_DISABLE_SIGNUP")


@topic.servers(
    "open-sign-up-verified",
    title="Where sign-up is open, email addresses are verified",
    why="Otherwise somebody can sign up with another person's address and receive the invitations meant for them.",
    fix="Set AUTH_EMAIL_VERIFICATION_REQUIRED=true with SMTP_CONNECTION_URL, or close sign-up.",
    severity=Severity.HIGH,
    also_in=(_HARDENING,),
    langfuse=True,
)
def open_sign_up_verified(pod: Pod) -> Findings:
    for container in _servers(pod, "web"):
        if _sign_up_open(container) and certainly_not_true(container, "AUTH_EMAIL_VERIFICATION_REQUIRED"):
            yield finding(container["env"], "AUTH_EMAIL_VERIFICATION_REQUIRED is not true, and sign-up is open")


@topic.servers(
    "session-length",
    title="Sessions expire early",
    why="By default a session lasts 30 days, and so does the use of a stolen cookie.",
    fix="Set AUTH_SESSION_MAX_AGE, in minutes, to at most the value that this policy's configuration allows.",
    severity=Severity.HIGH,
    also_in=(_HARDENING,),
    langfuse=True,
    settings=SessionLength,
)
def session_length(pod: Pod, settings: SessionLength) -> Findings:
    for container in _servers(pod, "web"):
        value = container.variable("AUTH_SESSION_MAX_AGE")["value"]
        if missing(container, "AUTH_SESSION_MAX_AGE") and settings.minutes < _DEFAULT_SESSION_MINUTES:
            yield finding(container["env"], "AUTH_SESSION_MAX_AGE is not set: sessions last 30 days")
        elif (number := value.number) is not None and number > settings.minutes:
            yield finding(value, f"sessions last longer than {settings.minutes} minutes")


@topic.servers(
    "telemetry-off",
    title="Telemetry is off",
    why="Telemetry is on by default, and sends usage figures of the instance to Langfuse.",
    fix="Set TELEMETRY_ENABLED=false on web.",
    severity=Severity.LOW,
    also_in=(_HARDENING,),
    langfuse=True,
)
def telemetry_off(pod: Pod) -> Findings:
    for container in _servers(pod, "web"):
        value = container.variable("TELEMETRY_ENABLED")["value"]
        if missing(container, "TELEMETRY_ENABLED"):
            yield finding(container["env"], "TELEMETRY_ENABLED is not set, and telemetry is on by default")
        elif value.present and not value.equals("false"):
            yield finding(value, "telemetry is on")


@topic.servers(
    "no-demo-sign-in",
    title="No setting for demos and test data is on",
    why="The demo signs every visitor in, and the key in the seed data is public.",
    fix="Remove the variable.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def no_demo_sign_in(pod: Pod) -> Findings:
    for container in _servers(pod, "web", "worker"):
        for name in ("NEXT_PUBLIC_PREVIEW_DEMO_AUTO_SIGN_IN", "SEED_SECRET_KEY"):
            variable = container.variable(name)
            if variable.present and not variable["value"].equals("", "false"):
                yield finding(variable, f"{name} is set")


@topic.servers(
    "node-env-production",
    title="Langfuse runs in production mode",
    why="Other modes show stack traces and relax the checks of cookies and sign-in.",
    fix="Remove NODE_ENV: the image sets it to production.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def node_env_production(pod: Pod) -> Findings:
    for container in _servers(pod, "web", "worker"):
        if (value := container.variable("NODE_ENV")["value"]).present and value.differs("production", ""):
            yield finding(value, "it is not production")


@topic.servers(
    "no-local-code-evaluation",
    title="Users' code does not run in Langfuse's own process",
    why="The dispatcher insecure-local runs evaluation code of every project member with the worker's credentials.",
    fix="Unset LANGFUSE_CODE_EVAL_DISPATCHER, or name a dispatcher that isolates code.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def no_local_code_evaluation(pod: Pod) -> Findings:
    for container in _servers(pod, "web", "worker"):
        if (value := container.variable("LANGFUSE_CODE_EVAL_DISPATCHER")["value"]).equals("insecure-local"):
            yield finding(value, "evaluation code runs without isolation")
