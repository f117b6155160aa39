"""Stores and buckets that a backup uses: its endpoints, and the buckets that it copies from."""

import re
from collections.abc import Iterator

from langfuse_policies.facts.applications import stores
from langfuse_policies.facts.backup_jobs import BackupJob
from langfuse_policies.facts.endpoints import Endpoint, endpoints
from langfuse_policies.facts.resources import Stack

#: Tools that copy from one place to another, and the rest of the command: SOURCE and TARGET come last.
_COPY = re.compile(
    r"\b(?:mc\s+(?:mirror|cp)|rclone\s+(?:copy|sync)|aws\s(?:[^\n;|&]*\s)?s3\s+(?:cp|sync))\b"
    r"(?P<rest>(?:[^\n;|&()<>\\]|\\\n)*)"
)
_WORD = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'\\]+")
#: `alias/BUCKET/...` of mc, `remote:BUCKET/...` of rclone, `s3://BUCKET/...`.
_PLACE = re.compile(r"(?:s3://|[A-Za-z][\w-]*[:/])(?P<bucket>[\w.-]*)")


def targets(job: BackupJob, stack: Stack) -> Iterator[Endpoint]:
    """The endpoints that a backup reads or writes; ClickHouse's server writes its backups itself."""
    if job.pod is not None:
        yield from endpoints(job.pod)
    if job.covers == {"clickhouse"}:
        for pod, _, store in stores(stack):
            if store == "clickhouse":
                yield from endpoints(pod, "BACKUP")


def named_buckets(job: BackupJob) -> set[str] | None:
    """The buckets in its variables; None while they are unknown."""
    values = [
        variable["value"].text
        for container in job.containers
        for variable in container.variables
        if "BUCKET" in (variable["name"].text or "")
    ]
    return None if not values or None in values else {bucket for bucket in values if bucket}


def copied_from(job: BackupJob) -> set[str] | None:
    """The buckets that it copies from with a known tool; None while they are unknown."""
    if job.pod is None:  # an operator's
        return None if "object-store" in job.covers else set()
    found: set[str] = set()
    for text in job.texts:
        for match in _COPY.finditer(text):
            # Without the 2 of `2>&1`.
            words = [word.strip("\"'") for word in _WORD.findall(match["rest"]) if not word.isdigit()][-2:]
            if len(words) < 2 or words[0].startswith(("/", ".")):  # noqa: PLR2004  # source and target; a file
                continue
            place = _PLACE.match(words[0])
            literal = place["bucket"] if place and "$" not in words[0] else ""
            buckets = {literal} if literal else named_buckets(job) if "$" in words[0] else None
            if buckets is None:
                return None
            found |= buckets
    return found
