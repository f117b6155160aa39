"""Langfuse's buckets and their lifecycle rules."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Finding, Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import has_langfuse, langfuse_role, stores
from langfuse_policies.facts.bucket_lifecycles import AWS_BUCKETS, AWS_LIFECYCLES, OWN_BUCKET, expiries
from langfuse_policies.facts.langfuse_environment import host_of, missing, url_of
from langfuse_policies.facts.langfuse_object_storage import USES, Target, targets_of
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("langfuse-buckets", title="Langfuse: buckets", pack="reliability")


def _servers(pod: Pod) -> Iterator[Container]:
    return (one for one in pod.containers if one.restarts and langfuse_role(one) is not None)


@topic.servers(
    "event-bucket-set",
    title="Langfuse has a bucket for events",
    why="Langfuse writes every event to the bucket before it queues it: without the bucket, nothing is ingested.",
    fix="Set LANGFUSE_S3_EVENT_UPLOAD_BUCKET on web and worker.",
    severity=Severity.HIGH,
    langfuse=True,
)
def event_bucket_set(pod: Pod) -> Findings:
    for container in _servers(pod):
        if missing(container, "LANGFUSE_S3_EVENT_UPLOAD_BUCKET"):
            yield finding(container["env"], "LANGFUSE_S3_EVENT_UPLOAD_BUCKET is not set")


@topic.servers(
    "bucket-prefix-ends-in-slash",
    title="Bucket prefixes end in a slash",
    why="Langfuse prepends the prefix to the key unchanged, so a lifecycle rule for a folder matches nothing.",
    fix="Add a slash to the end of the prefix.",
    severity=Severity.HIGH,
    langfuse=True,
)
def bucket_prefix_ends_in_slash(pod: Pod) -> Findings:
    for container in _servers(pod):
        for use in USES.values():
            value = container.variable(f"LANGFUSE_S3_{use}_PREFIX")["value"]
            if value.text and not value.text.endswith("/"):
                yield finding(value, "the prefix does not end in a slash")


@topic.servers(
    "buckets-apart",
    title="Events, media and exports are stored separately",
    why="Events and exports expire, media must not: in one place, a lifecycle rule can't distinguish them.",
    fix="Give each its own bucket, or its own prefix in one bucket.",
    severity=Severity.HIGH,
    langfuse=True,
)
def buckets_apart(pod: Pod) -> Findings:
    for container in _servers(pod):
        seen: set[tuple[str, str]] = set()
        for use in USES.values():
            bucket = container.variable(f"LANGFUSE_S3_{use}_BUCKET")["value"]
            prefix = container.variable(f"LANGFUSE_S3_{use}_PREFIX")
            if not bucket.text or not prefix.known or not prefix["valueFrom"].absent:
                continue
            place = (bucket.text, prefix["value"].text or "")
            if place in seen:
                yield finding(bucket, "another purpose uses the same bucket and prefix")
            seen.add(place)


@topic.stack(
    "media-never-expires",
    title="Media never expire",
    why="Langfuse recognizes a file by its hash and does not upload it again: an expired file is lost.",
    fix="Limit the lifecycle rule to the prefix or the bucket of events or exports.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def media_never_expires(stack: Stack) -> Findings:
    targets = targets_of(stack, "media")
    for expiry in expiries(stack) if targets else ():
        if any(target.reached_by(expiry) for target in targets):
            yield finding(expiry.place, "this rule expires media", expiry.owner)


class EventDays(Settings):
    """The retention of raw events."""

    minimum: Annotated[
        int, Meta(ge=1, description="Minimum days: twice the interval of backups plus the time to notice damage.")
    ] = 7
    maximum: Annotated[int, Meta(ge=1, description="Maximum days: older events only cost money.")] = 180


class ExportDays(Settings):
    """The retention of exports."""

    minimum: Annotated[int, Meta(ge=1, description="Minimum days: users download their exports within them.")] = 1
    maximum: Annotated[int, Meta(ge=1, description="Maximum days: then a copy of data should be deleted.")] = 30


@topic.stack(
    "events-expire",
    title="Raw events expire, but not before a backup can be replayed with them",
    why="Events fill the store. If they expire too early, events since the last backup can't be ingested again.",
    fix="Let the bucket or prefix of events expire within the days that this policy's configuration sets, for "
    "example 30.",
    severity=Severity.CRITICAL,
    langfuse=True,
    settings=EventDays,
)
def events_expire(stack: Stack, settings: EventDays) -> Findings:
    yield from _expire(stack, "events", settings.minimum, settings.maximum)


@topic.stack(
    "exports-expire",
    title="Exports expire",
    why="Exports are copies of traces, and are not deleted with the traces.",
    fix="Let the bucket or prefix of exports expire within the days that this policy's configuration sets, for "
    "example 7.",
    severity=Severity.CRITICAL,
    langfuse=True,
    settings=ExportDays,
)
def exports_expire(stack: Stack, settings: ExportDays) -> Findings:
    yield from _expire(stack, "exports", settings.minimum, settings.maximum)


def _expire(stack: Stack, purpose: str, least: int, most: int) -> Iterator[Finding]:
    found = expiries(stack) if has_langfuse(stack) else []
    for target in targets_of(stack, purpose):
        reaching = [one for one in found if target.reached_by(one)]
        for expiry in reaching:
            if expiry.days is not None and not least <= expiry.days <= most:
                yield finding(
                    expiry.place, f"{purpose} go after less than {least} or more than {most} days", expiry.owner
                )
        keeper = None if reaching else _keeper(stack, target)
        if keeper is not None and not any("$" in one.hint for one in found):
            yield finding(keeper, f"no rule lets {purpose} expire")


def _keeper(stack: Stack, target: Target) -> Resource | None:
    """The resource of this bucket: the bucket itself, or the only store that the endpoint can be."""
    for bucket in stack.of(OWN_BUCKET, *AWS_BUCKETS):
        name = bucket["name"].text if bucket.kind == OWN_BUCKET else bucket["bucket"].text
        if name and name == target.bucket:
            return bucket
    host = host_of(url_of(target.endpoint))
    if not host or ("." in host and not re.search(r"\.svc(?:\.|$)", host)):
        return None
    return next((pod.resource for pod, _, store in stores(stack) if store == "object-store"), None)


@topic.resources(
    "stale-uploads-aborted",
    *AWS_LIFECYCLES,
    title="Incomplete uploads are removed from S3",
    why="Listings do not show the parts of an incomplete upload, but they cost money until the upload is aborted.",
    fix="Add a lifecycle rule with abortIncompleteMultipartUpload, for example after 7 days.",
    severity=Severity.CRITICAL,
    also_in=("CKV_AWS_300",),
)
def stale_uploads_aborted(resource: Resource) -> Findings:
    all_rules = resource["rules"]
    aborts = [rule.at("abortIncompleteMultipartUpload.daysAfterInitiation") for rule in all_rules]
    if all_rules.known and all(abort.absent for abort in aborts):
        yield finding(all_rules, "no rule aborts incomplete uploads")


@topic.stack(
    "clickhouse-disk-never-expires",
    title="Objects of a ClickHouse disk never expire",
    why="ClickHouse stores the list of its files elsewhere: a part whose objects are deleted can't be read.",
    fix="Remove the lifecycle rule; ClickHouse deletes objects that it no longer needs.",
    severity=Severity.CRITICAL,
    langfuse=True,
)
def clickhouse_disk_never_expires(stack: Stack) -> Findings:
    disks = _disk_buckets(stack) if has_langfuse(stack) else set()
    for expiry in expiries(stack) if disks else ():
        if expiry.bucket in disks:
            yield finding(expiry.place, "this rule expires data of ClickHouse", expiry.owner)


def _disk_buckets(stack: Stack) -> set[str]:
    found = set()
    for config_map in stack.of("core/ConfigMap"):
        for _, value in config_map["data"].entries():
            for disk in re.finditer(
                r"<type>\s*s3(?:_plain\w*)?\s*</type>.{0,2000}?<endpoint>([^<]+)<", value.text or "", re.S
            ):
                url = url_of(disk[1].strip())
                host, path = host_of(url), (url.path if url else "").strip("/").partition("/")[0]
                found.add(host.partition(".")[0] if ".s3." in host or ".s3-" in host else path)
    return found - {""}


@topic.stack(
    "noncurrent-versions-expire",
    title="Noncurrent versions expire in versioned buckets",
    why="Langfuse deletes current versions only: data that users deleted is kept forever, and costs money.",
    fix="Add a lifecycle rule with noncurrentVersionExpiration, and one with expiredObjectDeleteMarker.",
    severity=Severity.MEDIUM,
    also_in=("CKV_AWS_300",),
    langfuse=True,
)
def noncurrent_versions_expire(stack: Stack) -> Findings:
    ours = {target.bucket for purpose in USES for target in targets_of(stack, purpose)} - {""}
    lifecycles = {one["bucket"].text: one for one in stack.of(*AWS_LIFECYCLES)}
    for versioning in stack.of("aws/BucketVersioning", "aws/BucketVersioningV2"):
        name = versioning["bucket"].text
        if name not in ours or not versioning.at("versioningConfiguration.status").equals("Enabled"):
            continue
        lifecycle = lifecycles.get(name)
        if lifecycle is None:
            if not any(one["bucket"].text is None for one in lifecycles.values()):
                yield finding(versioning, "no rule expires noncurrent versions")
        elif all(rule["noncurrentVersionExpiration"].absent for rule in lifecycle["rules"]):
            yield finding(lifecycle["rules"], "no rule expires noncurrent versions", lifecycle)
