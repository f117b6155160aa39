"""Secrets: where they may stand, and how they are made, fetched and renewed."""

import datetime
import re
from collections.abc import Iterator

import pydantic

from langfuse_policies.applications import is_langfuse
from langfuse_policies.fields import Field
from langfuse_policies.resources import Resource
from langfuse_policies.rules import Findings, Severity, Topic, finding
from langfuse_policies.secret_text import assigns_secret, has_secret_form, names_secret, random_token, secret_under
from langfuse_policies.settings import Settings
from langfuse_policies.workloads import POD_TEMPLATES, Container, Pod, pod_of

rules = Topic("secrets", title="Secrets", pack="security")

_IN_PLAIN_TEXT = "a secret stands here in plain text"


@rules.pods(
    "no-literal-secret-in-env",
    reference="K01",
    title="No environment variable holds a secret in plain text",
    why="Whoever may read the workload or its history reads the secret, and it can't be rotated by itself.",
    fix="Put the value in a Secret and refer to it with valueFrom.secretKeyRef.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.4.1", "NSA: secrets", "CKV_K8S_35", "C-0012", "KSV0109", "polaris: sensitiveContainerEnvVar"),
)
def no_literal_secret_in_env(pod: Pod) -> Findings:
    for container in pod.containers:
        for variable in container.variables:
            name, value = variable["name"].text, variable["value"].text
            if name is not None and value is not None and secret_under(name, value):
                yield finding(variable["value"], _IN_PLAIN_TEXT)


@rules.pods(
    "no-secret-in-command",
    reference="K02",
    title="No command or argument holds a secret",
    why="Commands are seen by everybody who may list processes or read the workload, and are written to logs.",
    fix="Hand the secret over in a variable or file that comes from a Secret, and refer to it in the command.",
    severity=Severity.CRITICAL,
    also_in=("C-0012", "KSV0109"),
)
def no_secret_in_command(pod: Pod) -> Findings:
    for container in pod.containers:
        for words in _commands(container):
            yield from (finding(place, _IN_PLAIN_TEXT) for place in _secret_words(words))


def _commands(container: Container) -> Iterator[list[Field]]:
    """What is run: the command with its arguments, probes, hooks."""
    yield [*container["command"], *container["args"]]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield list(container[probe].at("exec.command"))
    for hook in ("postStart", "preStop"):
        yield list(container["lifecycle"].at(f"{hook}.exec.command"))


def _secret_words(words: list[Field]) -> Iterator[Field]:
    flag = ""
    for word in words:
        text = word.text or ""
        named = flag != "" and not text.startswith("-") and secret_under(flag, text)
        if named or assigns_secret(text) or has_secret_form(text) or random_token(text):
            yield word
        flag = text.lstrip("-") if text.startswith("-") and "=" not in text else ""


@rules.resources(
    "no-secret-in-config-map",
    "core/ConfigMap",
    reference="K02",
    title="No ConfigMap holds a secret",
    why="ConfigMaps are readable by far more people and programs than Secrets, and are not encrypted at rest.",
    fix="Move the value to a Secret; have the configuration read it from a variable or from a file.",
    severity=Severity.CRITICAL,
    also_in=("C-0012", "KSV0109", "polaris: sensitiveConfigmapContent"),
)
def no_secret_in_config_map(resource: Resource) -> Findings:
    for key, value in resource["data"].entries():
        text = value.text
        if text is None:
            continue
        if (
            assigns_secret(text, file_name=key)
            or has_secret_form(text)
            or ("\n" not in text.strip() and secret_under(key, text))
        ):
            yield finding(value, _IN_PLAIN_TEXT)


@rules.resources(
    "no-secret-in-annotations",
    reference="K02",
    title="No annotation or label holds a secret",
    why="Annotations and labels are shown by every tool that lists objects, and are copied to logs and metrics.",
    fix="Remove it and change the secret, which counts as known; name the key of a checksum after what it is.",
    severity=Severity.CRITICAL,
    also_in=("C-0012",),
)
def no_secret_in_annotations(resource: Resource) -> Findings:
    if not resource.type.startswith("kubernetes:"):
        return
    pod = pod_of(resource)
    for metadata in (resource.metadata, *((pod.metadata,) if pod and POD_TEMPLATES[resource.kind] else ())):
        for group in ("annotations", "labels"):
            for key, value in metadata[group].entries():
                text = value.text
                if text is not None and (secret_under(key, text) or assigns_secret(text)):
                    yield finding(value, _IN_PLAIN_TEXT)


@rules.resources(
    "no-secret-in-manifest",
    reference="K02",
    title="No other field holds a token, a private key or a URL with a password",
    why="Routes, headers, schedules and custom resources are not kept like Secrets, though they can hold what is one.",
    fix="Refer to a Secret in its place; most kinds of resources have a field for it.",
    severity=Severity.CRITICAL,
    also_in=("C-0012",),
)
def no_secret_in_manifest(resource: Resource) -> Findings:
    if not resource.type.startswith(("kubernetes:", "langfuse:")) or resource.kind in _KEPT_OR_JUDGED_ELSEWHERE:
        return
    yield from (finding(place, _IN_PLAIN_TEXT) for place in _secret_fields(resource.fields, ""))


_KEPT_OR_JUDGED_ELSEWHERE = frozenset({"core/Secret", "core/ConfigMap"})
_JUDGED_ELSEWHERE = frozenset({"metadata", "env", "command", "args"})


def _secret_fields(field: Field, name: str) -> Iterator[Field]:
    for key, child in field.entries():
        if key not in _JUDGED_ELSEWHERE:
            yield from _secret_fields(child, key)
    for child in field:
        yield from _secret_fields(child, name)
    text = field.text
    if text is not None and (has_secret_form(text) or (_is_header(name) and secret_under(name, text))):
        yield field


def _is_header(name: str) -> bool:
    return name.lower() in {"authorization", "proxy-authorization", "x-api-key", "x-auth-token", "cookie"}


@rules.resources(
    "external-secret-refreshed",
    "external-secrets.io/ExternalSecret",
    reference="K03",
    title="External secrets are fetched again, unless they are made once",
    why="With an interval of zero a rotated secret never arrives, and the old one stays in use.",
    fix="Set spec.refreshInterval above zero, or spec.refreshPolicy to CreatedOnce where the value must never change.",
    severity=Severity.HIGH,
)
def external_secret_refreshed(resource: Resource) -> Findings:
    interval, policy = resource.at("spec.refreshInterval"), resource.at("spec.refreshPolicy")
    if (
        _is_zero(interval)
        and policy.known
        and not policy.equals("CreatedOnce", "OnChange")
        and not _generates(resource)
    ):
        yield finding(interval, "it is fetched once and never again")


@rules.resources(
    "generated-secret-made-once",
    "external-secrets.io/ExternalSecret",
    reference="K03",
    title="A generated external secret is made once",
    why="Generators keep no state: each refresh makes another password, which the server does not know.",
    fix="Set spec.refreshPolicy to CreatedOnce.",
    severity=Severity.HIGH,
)
def generated_secret_made_once(resource: Resource) -> Findings:
    interval, policy = resource.at("spec.refreshInterval"), resource.at("spec.refreshPolicy")
    if not _generates(resource) or not policy.known or policy.equals("CreatedOnce", "OnChange"):
        return
    if interval.known and not _is_zero(interval):
        yield finding(interval, "each refresh makes another value")


def _generates(resource: Resource) -> bool:
    return any(source.at("sourceRef.generatorRef").present for source in resource.at("spec.dataFrom"))


def _is_zero(interval: Field) -> bool:
    """Whether a duration of Go is zero: `0`, `0s`, `0h0m`."""
    text = interval.text
    return interval.equals(0.0) or (text is not None and text != "" and not text.strip("0hmsun."))


@rules.resources(
    "external-secret-retained",
    "external-secrets.io/ExternalSecret",
    reference="K03",
    title="A Secret survives the loss of its source",
    why="Otherwise an entry deleted by mistake at the provider deletes the Secret, and pods don't start any more.",
    fix="Set spec.target.deletionPolicy to Retain.",
    severity=Severity.HIGH,
)
def external_secret_retained(resource: Resource) -> Findings:
    if (policy := resource.at("spec.target.deletionPolicy")).present and policy.differs("Retain"):
        yield finding(policy, "the Secret goes when its source does")


@rules.resources(
    "cluster-secret-store-bounded",
    "external-secrets.io/ClusterSecretStore",
    reference="K03",
    title="A ClusterSecretStore names the namespaces that may use it",
    why="Without conditions whoever may make an ExternalSecret in any namespace reads every secret behind the store.",
    fix="Use a SecretStore in the namespace, or set spec.conditions.",
    severity=Severity.HIGH,
    also_in=("C-0208",),
)
def cluster_secret_store_bounded(resource: Resource) -> Findings:
    if (conditions := resource.at("spec.conditions")).empty:
        yield finding(conditions, "every namespace may use it")


_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+$")  # RFC 3986, section 2.3


class PasswordLength(Settings):
    """How long passwords are."""

    minimum: int = pydantic.Field(24, ge=8, description="The least number of characters.")


@rules.resources(
    "password-in-url-alphabet",
    "random/RandomPassword",
    "generators.external-secrets.io/Password",
    reference="K04",
    title="Generated passwords hold letters and digits only",
    why="Passwords end in URLs of databases, where other characters cut the URL short: migrations fail.",
    fix="Set special to false (of the generator of External Secrets: symbols to 0); length makes up for the alphabet.",
    severity=Severity.MEDIUM,
)
def password_in_url_alphabet(resource: Resource) -> Findings:
    if resource.kind == "random/RandomPassword":
        special, alphabet = resource["special"], resource["overrideSpecial"].text
        if special.known and not special.equals(False) and not (alphabet and _UNRESERVED.match(alphabet)):
            yield finding(special, "characters that have a meaning in URLs may occur")
    elif (symbols := resource.at("spec.symbols")).differs(0):
        yield finding(symbols, "symbols may occur" if symbols.present else "a quarter of it are symbols")


@rules.resources(
    "password-length",
    "random/RandomPassword",
    "generators.external-secrets.io/Password",
    reference="K04",
    title="Generated passwords are long",
    why="A password of letters and digits needs length to withstand guessing.",
    fix="Give it at least as many characters as the policy's configuration asks for.",
    severity=Severity.MEDIUM,
    settings=PasswordLength,
)
def password_length(resource: Resource, settings: PasswordLength) -> Findings:
    length = resource["length"] if resource.kind == "random/RandomPassword" else resource.at("spec.length")
    if (number := length.number) is not None and number < settings.minimum:
        yield finding(length, f"it has fewer than {settings.minimum} characters")


class RotationAge(Settings):
    """How old secrets may be."""

    days: int = pydantic.Field(90, ge=1, description="The greatest age in days.")


@rules.resources(
    "secret-rotated",
    "core/Secret",
    "external-secrets.io/ExternalSecret",
    reference="K05",
    title="A Secret that says when it was rotated was rotated lately",
    why="The longer a secret is in use, the more copies of it there are, and the less anybody dares to change it.",
    fix="Rotate it, and set its annotation rotated-at to the day; what must never change is immutable.",
    severity=Severity.LOW,
    also_in=("SOC 2: CC6.1",),
    settings=RotationAge,
)
def secret_rotated(resource: Resource, settings: RotationAge) -> Findings:
    if resource["immutable"].equals(True) or resource.at("spec.target.immutable").equals(True):
        return
    for key, value in resource.metadata["annotations"].entries():
        text = value.text
        if text is None or key.rpartition("/")[2] != "rotated-at":
            continue
        try:
            rotated = datetime.date.fromisoformat(text[:10])
        except ValueError:
            yield finding(value, "it is no date like 2026-01-31")
            continue
        if (datetime.datetime.now(datetime.UTC).date() - rotated).days > settings.days:
            yield finding(value, f"it was rotated more than {settings.days} days ago")


@rules.resources(
    "backup-credentials-in-files",
    "batch/CronJob",
    reference="K06",
    title="Scheduled jobs read credentials from files",
    why="Variables are inherited by every child process and are part of its dump; Langfuse itself reads nothing else.",
    fix="Mount the Secret, and name the file: PGPASSFILE, AWS_SHARED_CREDENTIALS_FILE, a client's configuration.",
    severity=Severity.LOW,
    also_in=("CIS 5.4.1", "CKV_K8S_35", "C-0207", "kube-linter: read-secret-from-env-var"),
)
def backup_credentials_in_files(resource: Resource) -> Findings:
    pod = pod_of(resource)
    for container in pod.containers if pod else ():
        if is_langfuse(container):
            continue
        for variable in container.variables:
            name = variable["name"].text
            if name and names_secret(name) and (reference := variable.at("valueFrom.secretKeyRef")).present:
                yield finding(reference, "the credential is in the environment")
        for source in container["envFrom"]:
            if source["secretRef"].present:
                yield finding(source["secretRef"], "all keys of the Secret are in the environment")
