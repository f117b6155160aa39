"""Where backups are stored: outside the stack, in a bucket and with a key that the application does not use."""

import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import langfuse_servers, store_of
from langfuse_policies.facts.backup_copies import copied_from, named_buckets, targets
from langfuse_policies.facts.backup_jobs import BackupJob, backups
from langfuse_policies.facts.endpoints import Endpoint, Endpoints, endpoints, hides_endpoints
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import SERVERS, Container, pods_of

topic = Topic("backup-targets", title="Destinations of backups", pack="reliability")

_S3_KEY = re.compile(r"ACCESS_?KEY|SECRET_?KEY")
#: Keys without which no backup can be read: reference/langfuse, web/src/env.mjs.
_KEYS = ("ENCRYPTION_KEY", "SALT")


@topic.stack(
    "backup-elsewhere",
    title="Backups are stored outside the stack",
    why="A backup in the stack's own object store is lost together with the data that it was made from.",
    fix="Write it to an object store outside the cluster, or add a job that copies it there.",
    severity=Severity.CRITICAL,
)
def backup_elsewhere(stack: Stack) -> Findings:
    own = Endpoints(stack)
    kept: list[tuple[BackupJob, Endpoint]] = []
    carried: list[set[str] | None] = []
    for job in backups(stack):
        named = list(targets(job, stack))
        inside = [one for one in named if own.server(one)]
        if inside and len(inside) == len(named) and job.pod is not None and not hides_endpoints(job.pod):
            kept.append((job, inside[0]))
        else:
            both = 0 < len(inside) < len(named)
            carried.append((copied_from(job) or named_buckets(job)) if both else copied_from(job))
    for job, endpoint in kept:
        buckets = {endpoint.bucket} if endpoint.bucket else named_buckets(job)
        if not any(names is None or buckets is None or names & buckets for names in carried):
            yield finding(endpoint.place, "the only copy is in the object store of this stack", of=endpoint.resource)


@topic.stack(
    "backup-own-credentials",
    title="The application has no access to its backups",
    why="If the application shares the key of the backups, whoever takes over the application can delete them too.",
    fix="Give the backups a key of their own that can write but not delete.",
    severity=Severity.HIGH,
)
def backup_own_credentials(stack: Stack) -> Findings:
    shared = set(_application_secrets(stack, _S3_KEY))
    for job in backups(stack):
        keys = list(_secrets(job.containers, _S3_KEY))
        # A job that copies a bucket has two keys: the application's to read, and its own.
        if keys and all((job.resource.namespace, name) in shared for name, _ in keys):
            yield finding(keys[0][1], "the application uses this key too", of=job.resource)


def _secrets(containers: Iterable[Container], wanted: re.Pattern[str]) -> Iterable[tuple[str, Field]]:
    for container in containers:
        for variable in container.variables:
            reference = variable["valueFrom"]["secretKeyRef"]["name"]
            if wanted.search(variable["name"].text or "") and (name := reference.text) is not None:
                yield name, reference


def _application_secrets(stack: Stack, wanted: re.Pattern[str]) -> Iterable[tuple[str, str]]:
    """Namespace and name of the Secrets of servers other than stores."""
    for pod in pods_of(stack):
        if pod.resource.kind in SERVERS and not any(store_of(container) for container in pod.containers):
            for name, _ in _secrets(pod.containers, wanted):
                yield pod.resource.namespace, name


@topic.stack(
    "backup-own-bucket",
    title="Backups have a bucket of their own",
    why="In the application's bucket, its lifecycle rules expire the backups and its keys can delete them.",
    fix="Name another bucket in the backup.",
    severity=Severity.HIGH,
)
def backup_own_bucket(stack: Stack) -> Findings:
    servers = [pod for pod, _, _ in langfuse_servers(stack)]
    used = {value.text for pod in servers for value in _buckets(pod.containers)}
    hosts = {endpoint.host for pod in servers for endpoint in endpoints(pod)}
    for job in backups(stack):
        named = [bucket for bucket in _buckets(job.containers) if bucket.known]
        elsewhere = job.pod is not None and any(endpoint.host not in hosts for endpoint in endpoints(job.pod))
        if named and not elsewhere and all(bucket.text in used for bucket in named):
            yield finding(named[0], "the application stores its own objects in this bucket", of=job.resource)


def _buckets(containers: Iterable[Container]) -> Iterable[Field]:
    for container in containers:
        for variable in container.variables:
            if "BUCKET" in (variable["name"].text or "") and variable["value"].text:
                yield variable["value"]


class Escrow(Settings):
    """What counts as a copy of a key outside the cluster."""

    state_counts: Annotated[
        bool,
        Meta(description="Whether the stack's encrypted state, which contains Pulumi's Secrets, counts as a copy."),
    ] = True


@topic.stack(
    "keys-kept-outside",
    title="The keys that are needed to read a restored Langfuse are also stored outside the cluster",
    why="Without ENCRYPTION_KEY and SALT, a restored Langfuse can decrypt no stored credential and accepts no API key.",
    fix="Take the Secret from an external secret store, push it to one (PushSecret), or back it up with a job of "
    "its own.",
    severity=Severity.HIGH,
    langfuse=True,
    settings=Escrow,
)
def keys_kept_outside(stack: Stack, settings: Escrow) -> Findings:
    if any("secrets" in job.covers for job in backups(stack)):
        return
    inside = {**_generated_in_cluster(stack), **({} if settings.state_counts else _made_by_stack(stack))}
    pushed = {
        (one.namespace, one.at("spec.selector.secret.name").text) for one in stack.of("external-secrets.io/PushSecret")
    }
    for pod, container, _ in langfuse_servers(stack):
        for key in _KEYS:
            reference = container.variable(key)["valueFrom"]["secretKeyRef"]["name"]
            place = (pod.resource.namespace, reference.text or "")
            if place in inside and place not in pushed:
                inside.pop(place)
                yield finding(reference, "the only copy of this key is in the cluster", of=pod.resource)


def _generated_in_cluster(stack: Stack) -> dict[tuple[str, str], Resource]:
    """Secrets with values from a generator of External Secrets: no external store has them."""
    found = {}
    for one in stack.of("external-secrets.io/ExternalSecret"):
        sources = [*one.at("spec.data"), *one.at("spec.dataFrom")]
        if any(source["sourceRef"]["generatorRef"].present for source in sources):
            found[one.namespace, one.at("spec.target.name").text or one.object_name] = one
    return found


def _made_by_stack(stack: Stack) -> dict[tuple[str, str], Resource]:
    return {(one.namespace, one.object_name): one for one in stack.of("core/Secret") if one.object_name}
