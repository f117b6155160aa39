"""Langfuse's connections: requests of users, and connections to stores."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import SplitResult, parse_qs

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import is_langfuse, langfuse_servers, stores
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.langfuse_environment import host_of, is_true, url_of
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("langfuse-connections", title="Langfuse: connections", pack="security")

_ALLOW_LIST = re.compile(r"LANGFUSE_\w+_WHITELISTED_(?:HOST|IPS|IP_SEGMENTS)$")
_LOCAL_NAMES = frozenset({"localhost", "metadata", "metadata.google.internal", "instance-data", "kubernetes.default"})
_LOCAL = "it allows this machine or the cloud's metadata service"
_METADATA = tuple(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254")))


class AllowedRanges(Settings):
    """The widest ranges that an allow-list may contain."""

    ipv4_prefix: Annotated[int, Meta(ge=1, le=32, description="The shortest prefix of an IPv4 range.")] = 24
    ipv6_prefix: Annotated[int, Meta(ge=1, le=128, description="The shortest prefix of an IPv6 range.")] = 64


@topic.pods(
    "no-broad-allow-list",
    title="Requests that users of Langfuse trigger can reach few private addresses",
    why="Users name addresses that Langfuse then requests; a broad list lets them reach the cloud's metadata "
    "service or a store.",
    fix="List single hosts, or ranges as narrow as this policy's configuration requires.",
    severity=Severity.HIGH,
    also_in=("OWASP ASVS: 5.2.6", "Langfuse: hardening guide"),
    langfuse=True,
    settings=AllowedRanges,
)
def no_broad_allow_list(pod: Pod, settings: AllowedRanges) -> Findings:
    for container in pod.containers:
        for variable in container.variables if is_langfuse(container) else ():
            name, value = variable["name"].text or "", variable["value"].text or ""
            if _ALLOW_LIST.match(name):
                for problem in sorted({_too_open(item.strip().lower(), settings) for item in value.split(",")} - {""}):
                    yield finding(variable["value"], problem)


def _too_open(item: str, settings: AllowedRanges) -> str:
    """The problem with an entry; empty when there is none."""
    if item in _LOCAL_NAMES or item.endswith(".localhost"):
        return _LOCAL
    if "*" in item:
        return "it allows every host that matches a pattern"
    try:
        network = ipaddress.ip_network(item.strip("[]"), strict=False)
    except ValueError:
        return ""
    if network.prefixlen < (settings.ipv4_prefix if network.version == 4 else settings.ipv6_prefix):  # noqa: PLR2004
        return "it allows a wide range of addresses"
    local = network.is_loopback or network.is_unspecified or any(one in network for one in _METADATA)
    return _LOCAL if local else ""


@topic.pods(
    "no-unverified-tls",
    title="TLS certificates are verified",
    why="Without verification, a connection may go to anyone, and the cause of the error stays hidden.",
    fix="Trust the certificate authority instead: NODE_EXTRA_CA_CERTS, REDIS_TLS_CA_PATH.",
    severity=Severity.HIGH,
    also_in=("OWASP ASVS: 9.2.1",),
    langfuse=True,
)
def no_unverified_tls(pod: Pod) -> Findings:
    for container in pod.containers:
        if not is_langfuse(container):
            continue
        for name, off in (
            ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
            ("REDIS_TLS_REJECT_UNAUTHORIZED", "false"),
            ("REDIS_TLS_CHECK_SERVER_IDENTITY", "false"),
        ):
            if (value := container.variable(name)["value"]).equals(off):
                yield finding(value, "any certificate is accepted")


@topic.stack(
    "stores-by-tls",
    title="Langfuse connects to its stores with TLS, or inside a mesh that encrypts",
    why="Otherwise traces, prompts and passwords cross the network in plain text.",
    fix="Use https and sslmode=require, and set REDIS_TLS_ENABLED=true; inside the cluster, a mesh in STRICT mode "
    "is enough.",
    severity=Severity.HIGH,
    also_in=("OWASP ASVS: 9.2.2",),
    langfuse=True,
)
def stores_by_tls(stack: Stack) -> Findings:
    meshed = {one.namespace for one in stack.of("security.istio.io/PeerAuthentication") if _strict(one)}
    for pod, container, _ in langfuse_servers(stack):
        for place, host in _plain_connections(container):
            if not (_inside(host) and pod.resource.namespace in meshed):
                yield finding(place, "the connection to this store is not encrypted", pod.resource)


def _strict(authentication: Resource) -> bool:
    """Whether it covers its namespace and, as far as it is known, requires mutual TLS."""
    mode, selector = authentication.at("spec.mtls.mode"), authentication.at("spec.selector")
    return selector.empty and (mode.equals("STRICT") or not mode.known)


def _plain_connections(container: Container) -> Iterator[tuple[Field, str]]:
    """Settings that connect in plain text, and the host that they name."""
    for name in ("CLICKHOUSE_URL", *(f"LANGFUSE_S3_{use}_ENDPOINT" for use in _S3_USES)):
        url, place = _url(container, name)
        if url is not None and url.scheme == "http":
            yield place, host_of(url)
    url, place = _url(container, "DATABASE_URL")
    if url is not None and url.scheme.startswith("postgres") and not _demands_tls(url.query):
        yield place, host_of(url)
    address = container.variable("DATABASE_HOST")["value"]
    arguments = container.variable("DATABASE_ARGS")
    if url is None and address.text and arguments.known and not _demands_tls(arguments["value"].text or ""):
        yield address, address.text.partition(":")[0]
    url, place = _url(container, "REDIS_CONNECTION_STRING")
    tls = container.variable("REDIS_TLS_ENABLED")
    if tls.known and not is_true(container, "REDIS_TLS_ENABLED"):
        if url is not None and url.scheme == "redis":
            yield place, host_of(url)
        for name in ("REDIS_HOST", "REDIS_SENTINEL_NODES", "REDIS_CLUSTER_NODES"):
            address = container.variable(name)["value"]
            if address.text:
                yield address, address.text.partition(",")[0].partition(":")[0]


_S3_USES = ("EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT")


def _url(container: Container, name: str) -> tuple[SplitResult | None, Field]:
    place = container.variable(name)["value"]
    return url_of(place.text), place


def _demands_tls(query: str) -> bool:
    """Whether Postgres is reached only with TLS; the default, `prefer`, falls back to plain text."""
    mode = parse_qs(query).get("sslmode", [""])[0]
    return mode in {"require", "verify-ca", "verify-full"} or "sslaccept" in query


def _inside(host: str) -> bool:
    """Whether a host name can only be a Service of this cluster."""
    return "." not in host or bool(re.search(r"\.svc(?:\.|$)|\.cluster\.local$", host))


@topic.pods(
    "low-privilege-store-users",
    title="Langfuse uses its own user in each store",
    why="With a superuser, a fault in Langfuse affects the whole server: every database, its users and its settings.",
    fix="Create a user that owns Langfuse's database only: neither postgres nor ClickHouse's default.",
    severity=Severity.HIGH,
    also_in=("CIS PostgreSQL: 4.2",),
    langfuse=True,
)
def low_privilege_store_users(pod: Pod) -> Findings:
    for container in pod.containers:
        if not is_langfuse(container):
            continue
        if (user := container.variable("CLICKHOUSE_USER")["value"]).equals("default"):
            yield finding(user, "it is the user with all permissions")
        if (user := container.variable("DATABASE_USERNAME")["value"]).equals("postgres"):
            yield finding(user, "it is the superuser")
        for name in ("DATABASE_URL", "DIRECT_URL"):
            url, place = _url(container, name)
            if url is not None and url.username == "postgres":
                yield finding(place, "it names the superuser")


@topic.stack(
    "low-privilege-object-store-keys",
    title="Langfuse does not use the administrator's keys of its object store",
    why="The administrator's keys can delete every bucket, including backups, and create users.",
    fix="Create a key for each bucket that can list, read and write, and delete where retention is in use.",
    severity=Severity.HIGH,
    langfuse=True,
)
def low_privilege_object_store_keys(stack: Stack) -> Findings:
    root = _root_keys(stack)
    for pod, container, _ in langfuse_servers(stack):
        for use in _S3_USES:
            reference = container.variable(f"LANGFUSE_S3_{use}_SECRET_ACCESS_KEY").at("valueFrom.secretKeyRef")
            if _identity(pod.resource, reference) in root:
                yield finding(reference, "it is the administrator's key", pod.resource)


def _root_keys(stack: Stack) -> set[tuple[str, str, str]]:
    return {
        identity
        for pod, container, store in stores(stack)
        if store == "object-store"
        for name in ("MINIO_ROOT_PASSWORD", "MINIO_SECRET_KEY", "RUSTFS_SECRET_KEY")
        if (identity := _identity(pod.resource, container.variable(name).at("valueFrom.secretKeyRef")))
    }


def _identity(owner: Resource, reference: Field) -> tuple[str, str, str] | None:
    name, key = reference["name"].text, reference["key"].text
    return None if name is None or key is None else (owner.namespace, name, key)
