"""Secrets: where they must not be in plain text."""

from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.secret_text import assigns_secret, has_secret_form, random_token, secret_under
from langfuse_policies.facts.workloads import POD_TEMPLATES, Container, Pod, pod_of

topic = Topic("secrets", title="Secrets", pack="security")

_IN_PLAIN_TEXT = "a secret is in plain text"


@topic.pods(
    "no-literal-secret-in-env",
    title="No environment variable holds a secret in plain text",
    why="Everyone who may read the workload or its history can read the secret, and it can't be rotated on its own.",
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


@topic.pods(
    "no-secret-in-command",
    title="No command or argument contains a secret",
    why="Everyone who may list processes or read the workload sees commands, and logs contain them.",
    fix="Pass the secret in a variable or file that comes from a Secret, and refer to it in the command.",
    severity=Severity.CRITICAL,
    also_in=("C-0012", "KSV0109"),
)
def no_secret_in_command(pod: Pod) -> Findings:
    for container in pod.containers:
        for words in _commands(container):
            yield from (finding(place, _IN_PLAIN_TEXT) for place in _secret_words(words))


def _commands(container: Container) -> Iterator[list[Field]]:
    """Commands: of the container with its arguments, of probes, and of hooks."""
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


@topic.resources(
    "no-secret-in-config-map",
    "core/ConfigMap",
    title="No ConfigMap contains a secret",
    why="More people and programs can read ConfigMaps than Secrets, and ConfigMaps are not encrypted at rest.",
    fix="Move the value to a Secret; let the configuration read it from a variable or a file.",
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


@topic.resources(
    "no-secret-in-annotations",
    title="No annotation or label contains a secret",
    why="Tools that list objects show annotations and labels, and copy them to logs and metrics.",
    fix="Remove it and rotate the secret, which is no longer secret; if it is a checksum, say so in the name of "
    "its key.",
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


@topic.resources(
    "no-secret-in-manifest",
    title="No other field contains a token, a private key or a URL with a password",
    why="Routes, headers, schedules and custom resources are not protected as Secrets are.",
    fix="Refer to a Secret instead; most kinds of resources have a field for it.",
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
