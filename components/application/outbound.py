"""What Langfuse calls: the environment variables for it, and the addresses in them, which network rules allow."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import ValidationError

from components.application.extra_env import connection_variables, extra_environment
from components.application.sign_in import sign_in_endpoints
from components.kubernetes.variables import Environment, SecretRef
from components.schema.environment import Settings
from components.schema.targets import AllowedTargets, Targets
from components.stores.connections import Endpoint
from components.stores.contract import (
    APPLICATION,
    CLIENTS,
    MIGRATIONS,
    REPAIR,
    REVOKE_KEY,
    SERVERS,
    SIGN_IN_PROXY,
    Flow,
    clients_of_copies,
)
from components.stores.modes import StoreModes

MAIL_PORTS = (25, 465, 587, 2525)
"""Ports of mail servers, if none is configured: the URL with the port is in a Secret. 25 is for relays (RFC 5321), 465
and 587 for submission (RFC 8314, 6409), and 2525 for providers in networks that block the others."""

LAST_PORT = 65535

_USES = ("LLM_CONNECTION", "WEBHOOK", "BLOB_STORAGE_ENDPOINT", "SSO_DISCOVERY")

_NOT_CALLED = re.compile(
    r"NEXTAUTH_.*|NEXT_PUBLIC_.*|LANGFUSE_UI_.*|SENTRY_CSP_REPORT_URI|AUTH_.*_AUTHORIZATION_URL"  # for browsers
    r"|HOSTNAME|NO_PROXY|no_proxy|LANGFUSE_MCP_ALLOWED_HOSTS"  # not addresses that are called
)
"""Variables that contain addresses which Langfuse does not call."""

_ALLOWED = re.compile(r"(?P<use>LANGFUSE_.*)_WHITELISTED_(HOST|IPS|IP_SEGMENTS)")

_URL = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*://[^\s,'\"<>]+)")
_AUTHORITY = re.compile(
    r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<host>(?=.*[A-Za-z.])[A-Za-z0-9][A-Za-z0-9.-]*)):(?P<port>\d{1,5})/?"
)

_AGENT_PORTS: Sequence[tuple[str, Literal["TCP", "UDP"], int]] = (
    ("DD_DOGSTATSD_PORT", "UDP", 8125),
    ("DD_TRACE_AGENT_PORT", "TCP", 8126),
)
"""Datadog's agent at `DD_AGENT_HOST`: the variable with the port, the protocol and the default
(docs.datadoghq.com/tracing/trace_collection/library_config/nodejs)."""

ADDRESS_NAME = re.compile(r".*_(URL|URI|HOST|ENDPOINT|PROXY|ISSUER|NODES|DSN|CONNECTION_STRING|WEBHOOK)", re.IGNORECASE)
"""Names of variables whose values are addresses."""


def mail_environment(settings: Settings, refs: Mapping[str, SecretRef]) -> Environment:
    """For web and worker, which both send mail."""
    if settings.mail is None:
        return {}
    return {"EMAIL_FROM_ADDRESS": settings.mail.sender, "SMTP_CONNECTION_URL": refs["smtp_url"]}


def target_environment(allowed: AllowedTargets) -> Environment:
    """For web and worker: the private addresses that Langfuse may call. By default it refuses all of them.

    packages/shared/src/server/outbound-url/validation.ts compares the whole host name, and does not check the addresses
    of a host that matches. Addresses and ranges apply to every host that resolves to them.
    """
    variables: dict[str, str] = {}
    for use, targets in zip(
        _USES, (allowed.llm, allowed.webhook, allowed.blob_storage, allowed.sso_discovery), strict=True
    ):
        lists = {"HOST": targets.hosts, "IPS": targets.ips, "IP_SEGMENTS": targets.ranges}
        variables |= {f"LANGFUSE_{use}_WHITELISTED_{kind}": ",".join(items) for kind, items in lists.items() if items}
    return variables


def proxy_environment(settings: Settings) -> Environment:
    """For programs that call out: the proxy, and what they call directly."""
    proxy = settings.network.proxy
    return {"HTTPS_PROXY": proxy.url, "NO_PROXY": ",".join(_direct(settings))} if proxy else {}


def sign_in_proxy_environment(settings: Settings) -> Environment:
    """For web. Its sign-in has a variable for the proxy of its own, which knows no exceptions.

    So it is set unless all providers are exceptions (web/src/server/auth.ts).
    """
    proxy, chosen = settings.network.proxy, settings.sign_in.providers.configured()
    endpoints = sign_in_endpoints(settings)
    others = len(endpoints) < len(chosen) or any(not _is_direct(one.host, _direct(settings)) for one in endpoints)
    return {"AUTH_HTTPS_PROXY": proxy.url} if proxy and chosen and others else {}


def _direct(settings: Settings) -> list[str]:
    """What is called without the proxy: the pod itself, names in the cluster, the stores, private targets, exceptions.

    Entries have the form of NO_PROXY: a host is also every name below it.
    """
    proxy = settings.network.proxy
    modes = [*StoreModes.of(settings)]
    stores = [one.host for mode in modes for flow in mode.flows() for one in flow.endpoints]
    private = [one for targets in allowed_targets(settings) for one in (*targets.hosts, *targets.ips, *targets.ranges)]
    services = [f"langfuse-{mode.name}" for mode in modes if mode.is_managed]
    inside = ["localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", *services]
    return list(dict.fromkeys([*inside, *stores, *private, *(proxy.exceptions if proxy else ())]))


def _is_direct(host: str, entries: Sequence[str]) -> bool:
    """Whether an entry of NO_PROXY means a host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(host == entry or host.endswith(f".{entry.removeprefix('.')}") for entry in entries)
    return any(re.fullmatch(r"[0-9a-f.:/]+", one) and address in ipaddress.ip_network(one) for one in entries)


def outbound_flows(settings: Settings) -> Iterator[Flow]:
    """Flows from the application to every address that its configuration names, except stores and allowed targets."""
    if endpoints := sign_in_endpoints(settings):
        yield Flow(purpose="sign-in", endpoints=endpoints, clients=["web"])
    if settings.mail:
        ports = [settings.mail.port] if settings.mail.port else MAIL_PORTS
        yield Flow(purpose="mail", ports=ports, clients=APPLICATION)
    if proxy := settings.network.proxy:
        clients: Sequence[str] = [*SERVERS, MIGRATIONS, REPAIR, *clients_of_copies(settings)]
        clients = [*clients, *([SIGN_IN_PROXY] if settings.ingress.sign_in_proxy else [])]
        yield Flow(purpose="proxy", endpoints=[Endpoint.of_url(proxy.url)], clients=clients)
    variables: Mapping[str, tuple[Environment, Sequence[str]]] = {
        "web": (extra_environment(settings, "web"), ("web", "first-start", CLIENTS)),
        "worker": (extra_environment(settings, "worker"), ("worker",)),
        "migrations": (connection_variables(settings), (MIGRATIONS, REPAIR, REVOKE_KEY)),
    }
    for program, (environment, clients) in variables.items():
        if endpoints := called_endpoints(environment):
            yield Flow(purpose=f"{program}-variables", endpoints=endpoints, clients=clients)


def allowed_targets(settings: Settings) -> list[Targets]:
    """What users may make Langfuse call: by `allowedTargets`, and by variables that newer releases read.

    Raises:
        ValueError: A variable has a value that `allowedTargets` would refuse.
    """
    allowed = settings.allowed_targets
    variables = {name: one.value for name, one in settings.extra_env.items() if one.value}
    uses = sorted({match["use"] for name in variables if (match := _ALLOWED.fullmatch(name))})
    return [
        *(allowed.llm, allowed.webhook, allowed.blob_storage, allowed.sso_discovery),
        *(_targets_of_variables(use, variables) for use in uses),
    ]


def _targets_of_variables(use: str, variables: Mapping[str, str]) -> Targets:
    lists = {
        key: [part.strip() for part in variables.get(f"{use}_WHITELISTED_{kind}", "").split(",") if part.strip()]
        for key, kind in (("hosts", "HOST"), ("ips", "IPS"), ("ranges", "IP_SEGMENTS"))
    }
    ports = re.findall(r"\d+", variables.get(f"{use}_ALLOWED_PORTS", ""))
    return Targets.model_validate({**lists, "ports": ports}, strict=False)


def variables_name_possible_targets(settings: Settings) -> Iterator[str]:
    """A check of variables that allow targets: the same rules as for `allowedTargets`."""
    try:
        allowed_targets(settings)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            message = detail["msg"].removeprefix("Value error, ")
            yield f"extraEnv: an entry of a variable that allows targets (LANGFUSE_..._WHITELISTED_...) {message}"


def called_endpoints(environment: Environment) -> list[Endpoint]:
    """The addresses in variables: URLs, `host:port`, and hosts with a port in another variable.

    Values in Secrets are not known.
    """
    values = {
        name: value for name, value in environment.items() if isinstance(value, str) and not _NOT_CALLED.fullmatch(name)
    }
    found = [endpoint for value in values.values() for endpoint in _endpoints_in(value)]
    for name, host in values.items():
        port = values.get(f"{name.removesuffix('HOST')}PORT", "")
        if name.endswith("_HOST") and port.isdigit():
            found.append(Endpoint(host=host, port=int(port)))
    if agent := values.get("DD_AGENT_HOST"):
        found += [
            Endpoint(host=agent, port=int(values.get(name) or default), protocol=protocol)
            for name, protocol, default in _AGENT_PORTS
        ]
    return list(dict.fromkeys(found))


def _endpoints_in(value: str) -> Iterator[Endpoint]:
    for match in _URL.finditer(value):
        try:
            yield Endpoint.of_url(match["url"])
        except ValueError:
            continue
    for part in re.split(r"[\s,]+", value):
        if (authority := _AUTHORITY.fullmatch(part)) and 0 < int(authority["port"]) <= LAST_PORT:
            yield Endpoint(host=authority["literal"] or authority["host"], port=int(authority["port"]))


def addresses_are_known(settings: Settings) -> Iterator[str]:
    """A warning about variables whose addresses are in Secrets, where network rules can't follow from them."""
    for name, variable in settings.extra_env.items():
        if variable.secret and ADDRESS_NAME.fullmatch(name) and not _NOT_CALLED.fullmatch(name):
            yield (
                f"extraEnv.{name}: has its address in a Secret, so no network rule follows from it; unless it is at "
                "port 443 of network.internet, add it to network.egress"
            )
