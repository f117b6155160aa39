"""Langfuse's own secrets: encryption key, salt, session secret and Admin API key."""

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

from langfuse_policies.engine.policy import Finding, Findings, Severity, Topic, finding
from langfuse_policies.facts.applications import LangfuseRole, langfuse_role, langfuse_servers
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.langfuse_environment import Setting, Variables, missing
from langfuse_policies.facts.redaction import entropy
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.secret_text import names_secret
from langfuse_policies.facts.workloads import Pod, pod_of

topic = Topic("langfuse-credentials", title="Langfuse: credentials", pack="security")

#: Example values in compose files, charts and manuals (langfuse: docker-compose.yml; langfuse-k8s: values.yaml).
_SHIPPED = frozenset(
    {
        "mysalt", "mysecret", "secret", "changeme", "change-me", "change_me", "password", "langfuse", "admin",
        "miniosecret", "minio", "minioadmin", "minio123", "clickhouse", "myredissecret", "redis", "valkey", "postgres",
    }
)  # fmt: skip
_KEY_PATTERN = re.compile(r"[0-9a-fA-F]{64}$")
_KEY_BITS = 3.0  # per character: 64 random hexadecimal digits have 3.4 and more
_LEAST_BYTES = 32
_FIXED = ("SALT", "ENCRYPTION_KEY")


@topic.resources(
    "no-shipped-secret",
    title="No secret is an example value",
    why="Example values are public; attackers try them first.",
    fix="Generate a random value.",
    severity=Severity.CRITICAL,
    also_in=("OWASP ASVS: 2.10.2",),
)
def no_shipped_secret(resource: Resource) -> Findings:
    for name, value, text in _named_values(resource):
        if names_secret(name) and (text.strip().lower() in _SHIPPED or (len(text) > 1 and len(set(text)) == 1)):
            yield finding(value, "it is a known example value")
        elif _url_password(text) in _SHIPPED:
            yield finding(value, "the password in this URL is a known example value")


def _named_values(resource: Resource) -> Iterator[tuple[str, Field, str]]:
    if resource.kind == "core/Secret":
        for key, value in resource["stringData"].entries():
            yield key, value, value.text or ""
        for key, value in resource["data"].entries():
            yield key, value, _decoded(value.text or "")
    pod = pod_of(resource)
    for container in pod.containers if pod else ():
        for variable in container.variables:
            yield variable["name"].text or "", variable["value"], variable["value"].text or ""


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _url_password(text: str) -> str:
    try:
        return (urlsplit(text).password or "").lower() if "://" in text else ""
    except ValueError:
        return ""


@topic.servers(
    "langfuse-secrets-set",
    title="Langfuse has a salt, an encryption key and a session secret",
    why="Without ENCRYPTION_KEY, Langfuse starts and stores the keys of LLM providers and integrations unencrypted.",
    fix="Set SALT and ENCRYPTION_KEY on web and worker, NEXTAUTH_SECRET on web, each from a Secret.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def langfuse_secrets_set(pod: Pod) -> Findings:
    for container in pod.containers:
        role = langfuse_role(container) if container.restarts else None
        for name in () if role is None else (*_FIXED, "NEXTAUTH_SECRET") if role == "web" else _FIXED:
            if missing(container, name):
                yield finding(container["env"], f"{name} is not set")


@topic.stack(
    "encryption-key-form",
    title="The encryption key is 64 random hexadecimal digits",
    why="Langfuse checks only the length: other characters fail at the first use, and a key with a pattern is easy "
    "to guess.",
    fix="Generate it with `openssl rand -hex 32`, before anything is encrypted with the old one.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def encryption_key_form(stack: Stack) -> Findings:
    for setting, owner in _settings(stack, "ENCRYPTION_KEY"):
        if setting.value is None:
            continue
        if not _KEY_PATTERN.match(setting.value):
            yield finding(setting.place, "the key is not 64 hexadecimal digits", owner)
        elif entropy(setting.value) < _KEY_BITS:
            yield finding(setting.place, "the key is not random", owner)


@topic.stack(
    "langfuse-secret-length",
    title="The salt and the session secret have 32 bytes or more",
    why="A short secret can be guessed from a single signed session or hashed API key.",
    fix="Generate it with `openssl rand -base64 32`; change the salt only before the first API key exists.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def langfuse_secret_length(stack: Stack) -> Findings:
    yield from _short(stack, "SALT", "NEXTAUTH_SECRET")


@topic.stack(
    "admin-api-key-length",
    title="The key of the Admin API has 32 bytes or more",
    why="It gives access to every organization and project of the instance.",
    fix="Generate it with `openssl rand -base64 32`, or unset ADMIN_API_KEY if the Admin API is not used.",
    severity=Severity.HIGH,
    langfuse=True,
)
def admin_api_key_length(stack: Stack) -> Findings:
    yield from _short(stack, "ADMIN_API_KEY")


def _short(stack: Stack, *names: str) -> Iterator[Finding]:
    for name in names:
        for setting, owner in _settings(stack, name):
            if setting.value and len(setting.value.encode()) < _LEAST_BYTES:
                yield finding(setting.place, f"{name} has fewer than {_LEAST_BYTES} bytes", owner)


def _settings(stack: Stack, name: str) -> Iterator[tuple[Setting, Resource]]:
    variables = Variables(stack)
    for pod, container, _ in langfuse_servers(stack):
        if (setting := variables.setting(pod, container, name)) is not None:
            yield setting, pod.resource


@topic.stack(
    "langfuse-keys-shared",
    title="Web and worker use the same salt and the same encryption key",
    why="With another key, the worker can't decrypt what web encrypted; with another salt, it accepts no API key.",
    fix="Let both read SALT and ENCRYPTION_KEY from the same key of the same Secret.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def langfuse_keys_shared(stack: Stack) -> Findings:
    variables = Variables(stack)
    for name in _FIXED:
        seen: dict[str, list[tuple[LangfuseRole, Setting, Resource]]] = defaultdict(list)
        for pod, container, role in langfuse_servers(stack):
            if (setting := variables.setting(pod, container, name)) is not None:
                seen[pod.resource.namespace].append((role, setting, pod.resource))
        for settings in seen.values():
            web = next((setting for each, setting, _ in settings if each == "web"), None)
            for role, setting, owner in settings:
                if role == "worker" and web is not None and not _same(web, setting):
                    yield finding(setting.place, f"{name} differs from the source in web", owner)


def _same(one: Setting, other: Setting) -> bool:
    if one.value is not None and other.value is not None:
        return one.value == other.value
    return one.source == other.source


@topic.stack(
    "langfuse-keys-fixed",
    title="The salt and the encryption key can't change by accident",
    why="They can't be rotated: with another salt every API key is invalid, with another key stored credentials "
    "are lost.",
    fix="Protect their Secret in Pulumi or make it immutable; set refreshPolicy of an ExternalSecret to CreatedOnce.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def langfuse_keys_fixed(stack: Stack) -> Findings:
    reported: set[str] = set()
    for name in _FIXED:
        for setting, _ in _settings(stack, name):
            holder = setting.holder
            if holder is None or holder.urn in reported or _stays(holder):
                continue
            reported.add(holder.urn)
            yield finding(holder, f"it holds {name}, and the next change of it goes through")


def _stays(holder: Resource) -> bool:
    if holder.kind != "external-secrets.io/ExternalSecret":
        return holder.protect or not holder["immutable"].known or holder["immutable"].equals(True)
    immutable, policy = holder.at("spec.target.immutable"), holder.at("spec.refreshPolicy")
    if not immutable.known or not policy.known:
        return True
    return immutable.equals(True) or policy.equals("CreatedOnce", "OnChange")
