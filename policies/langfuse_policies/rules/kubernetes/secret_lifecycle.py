"""Secrets: how they are generated, refreshed, rotated and passed on."""

import datetime
import re
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import is_langfuse
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.secret_text import names_secret
from langfuse_policies.facts.workloads import pod_of

topic = Topic("secret-lifecycle", title="Secrets: generation, refresh, rotation", pack="security")


@topic.resources(
    "external-secret-refreshed",
    "external-secrets.io/ExternalSecret",
    title="External secrets are refreshed, unless they are created once",
    why="With an interval of zero, a rotated secret never arrives and the old one stays in use.",
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
        yield finding(interval, "it is fetched only once")


@topic.resources(
    "generated-secret-made-once",
    "external-secrets.io/ExternalSecret",
    title="Generated external secrets are created once",
    why="Generators keep no state: each refresh generates another password, which the server does not know.",
    fix="Set spec.refreshPolicy to CreatedOnce.",
    severity=Severity.HIGH,
)
def generated_secret_made_once(resource: Resource) -> Findings:
    interval, policy = resource.at("spec.refreshInterval"), resource.at("spec.refreshPolicy")
    if not _generates(resource) or not policy.known or policy.equals("CreatedOnce", "OnChange"):
        return
    if interval.known and not _is_zero(interval):
        yield finding(interval, "each refresh generates another value")


def _generates(resource: Resource) -> bool:
    return any(source.at("sourceRef.generatorRef").present for source in resource.at("spec.dataFrom"))


def _is_zero(interval: Field) -> bool:
    """Whether a duration of Go is zero: `0`, `0s`, `0h0m`."""
    text = interval.text
    return interval.equals(0.0) or (text is not None and text != "" and not text.strip("0hmsun."))


@topic.resources(
    "external-secret-retained",
    "external-secrets.io/ExternalSecret",
    title="A Secret is kept when its source is deleted",
    why="Otherwise deleting an entry at the provider by mistake deletes the Secret, and pods no longer start.",
    fix="Set spec.target.deletionPolicy to Retain.",
    severity=Severity.HIGH,
)
def external_secret_retained(resource: Resource) -> Findings:
    if (policy := resource.at("spec.target.deletionPolicy")).present and policy.differs("Retain"):
        yield finding(policy, "the Secret is deleted with its source")


@topic.resources(
    "cluster-secret-store-bounded",
    "external-secrets.io/ClusterSecretStore",
    title="A ClusterSecretStore names the namespaces that may use it",
    why="Without conditions, whoever can create an ExternalSecret in any namespace can read every secret of the store.",
    fix="Use a SecretStore in the namespace, or set spec.conditions.",
    severity=Severity.HIGH,
    also_in=("C-0208",),
)
def cluster_secret_store_bounded(resource: Resource) -> Findings:
    if (conditions := resource.at("spec.conditions")).empty:
        yield finding(conditions, "every namespace can use it")


_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+$")  # RFC 3986, section 2.3


class PasswordLength(Settings):
    """The minimum length of passwords."""

    minimum: Annotated[int, Meta(ge=8, description="Minimum characters.")] = 24


@topic.resources(
    "password-in-url-alphabet",
    "random/RandomPassword",
    "generators.external-secrets.io/Password",
    title="Generated passwords contain only letters and digits",
    why="Passwords are inserted into database URLs, where other characters end the password early, and migrations "
    "fail.",
    fix="Set special to false (symbols to 0 in a generator of External Secrets); a longer password makes up for "
    "the smaller alphabet.",
    severity=Severity.MEDIUM,
)
def password_in_url_alphabet(resource: Resource) -> Findings:
    if resource.kind == "random/RandomPassword":
        special, alphabet = resource["special"], resource["overrideSpecial"].text
        if special.known and not special.equals(False) and not (alphabet and _UNRESERVED.match(alphabet)):
            yield finding(special, "it may contain characters with a meaning in URLs")
    elif (symbols := resource.at("spec.symbols")).differs(0):
        yield finding(symbols, "it may contain symbols" if symbols.present else "a quarter of it is symbols")


@topic.resources(
    "password-length",
    "random/RandomPassword",
    "generators.external-secrets.io/Password",
    title="Generated passwords are long",
    why="A password of letters and digits has to be long to resist guessing.",
    fix="Give it at least as many characters as the configuration of this policy requires.",
    severity=Severity.MEDIUM,
    settings=PasswordLength,
)
def password_length(resource: Resource, settings: PasswordLength) -> Findings:
    length = resource["length"] if resource.kind == "random/RandomPassword" else resource.at("spec.length")
    if (number := length.number) is not None and number < settings.minimum:
        yield finding(length, f"it has fewer than {settings.minimum} characters")


class RotationAge(Settings):
    """The maximum age of secrets."""

    days: Annotated[int, Meta(ge=1, description="Maximum age in days.")] = 90


@topic.resources(
    "secret-rotated",
    "core/Secret",
    "external-secrets.io/ExternalSecret",
    title="Secrets that record their rotation were rotated recently",
    why="The longer a secret is in use, the more copies of it exist, and the riskier it is to change.",
    fix="Rotate it and set its annotation rotated-at to the date; a Secret that must never change is immutable.",
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
            yield finding(value, "it is not a date such as 2026-01-31")
            continue
        if (datetime.datetime.now(datetime.UTC).date() - rotated).days > settings.days:
            yield finding(value, f"it was rotated more than {settings.days} days ago")


@topic.resources(
    "backup-credentials-in-files",
    "batch/CronJob",
    title="Scheduled jobs read credentials from files",
    why="Child processes inherit environment variables, and crash dumps contain them. Langfuse itself "
    "reads variables only.",
    fix="Mount the Secret and name the file: PGPASSFILE, AWS_SHARED_CREDENTIALS_FILE, or a configuration file of "
    "the client.",
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
