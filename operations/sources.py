"""Sets that are not in the bucket of a stack: the off-site copies of another stack, or its own.

A Job of the stack that takes the set reads them (`components/backups/fetch.py`). This module compares what that Job
reads with where the other stack copies its sets to.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel

from components.schema.environment import PROJECT, Settings
from components.settings.load import SettingsError, parse
from components.stores.modes import StoreModes
from operations import jobs
from operations.cluster import Cluster
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

FETCH: Final = "langfuse-fetch-set"
IDENTITY: Final = "langfuse-age-identity"
"""The Secret with the private key of encrypted copies (components/backups/off_site.py)."""

AGE_IDENTITY: Final = "OFF_SITE_AGE_IDENTITY"
EMPTY_REDIS: Final = "langfuse-empty-redis"
WEB: Final = "langfuse-web"
MAIL: Final = "SMTP_CONNECTION_URL"
"""With it, Langfuse sends mail (web/src/env.mjs)."""

KEYS: Final = ("profile", "scale", "host", "instance", "namespace", "objectStore", "backups", "version")
"""What the names of buckets, and the second store, follow from."""

Json = Mapping[str, Any]


class Source(BaseModel):
    """Where a set comes from, and what becomes of it."""

    stack: str | None
    """The other stack; None for the copies of the stack itself."""
    backups: str
    """The bucket of backups that was copied. It is a folder of the copies."""
    media: str
    """The bucket of media that was copied."""
    encrypted: bool = False
    """Whether the Job needs a private key to read the copies."""
    clone: bool = False
    """Whether its credentials are removed, and everything that sends or costs."""


def listing(source: Source) -> Mapping[str, str]:
    """The variables of a Job that lists the sets."""
    return {"ACTION": "list", "PREFIX": f"{source.backups}/"}


def fetch(source: Source, set_id: str) -> Mapping[str, str]:
    """The variables of a Job that copies a set with everything that it needs."""
    places = {"PREFIX": f"{source.backups}/", "MEDIA_PREFIX": f"{source.media}/"}
    return {"ACTION": "fetch", "SET_ID": set_id, "CLONE": str(source.clone).lower(), **places}


def restore(source: Source, store: Literal["postgres", "clickhouse", "media"]) -> Mapping[str, str]:
    """More variables of a Job that restores a set of another stack."""
    bucket = {"FORMER_MEDIA_BUCKET": source.media} if store == "postgres" else {}
    return {"CLONE": str(source.clone).lower(), **bucket}


def source(target: Pulumi, cluster: Cluster, namespace: str, other: Pulumi | None, *, clone: bool) -> Source:
    """The off-site copies that a deployed stack reads.

    Args:
        target: The stack that takes a set.
        cluster: Its cluster.
        namespace: Its namespace.
        other: The stack whose set it is; None for the stack itself.
        clone: Whether the stack becomes a clone of the other one.

    Raises:
        OperationError: The stack does not read the copies of the other one, or may not become its clone.
    """
    origin = other or target
    if other and other.stack == target.stack:
        raise OperationError(f"--into names the stack itself; restore {target.stack} without it")
    settings = _settings(origin)
    off_site = settings.backups.off_site
    if off_site is None:
        raise OperationError(f"stack {origin.stack} has no off-site copies: {PROJECT}:backups.offSite is not set")
    read = _variables(jobs.declared(cluster, "CronJob", FETCH, namespace)["spec"]["jobTemplate"]["spec"])
    wanted = {"OFF_SITE_STORE_URL": off_site.endpoint, "OFF_SITE_BUCKET": off_site.bucket}
    found = {name: read.get(name) for name in wanted}
    if found != wanted:
        raise OperationError(
            f"stack {target.stack} reads the copies in {'/'.join(map(str, found.values()))}, and those of "
            f"{origin.stack} are in {'/'.join(wanted.values())}; correct {PROJECT}:backups.importFrom, and run "
            "`pulumi up`"
        )
    if off_site.encrypted and AGE_IDENTITY not in read:
        raise OperationError(
            f"the copies of {origin.stack} are encrypted, and stack {target.stack} would not decrypt them; set "
            f"{PROJECT}:backups.importFrom.encrypted to true if it has importFrom, and run `pulumi up`"
        )
    if clone:
        _refuse_mail(target, cluster, namespace)
    names = StoreModes.of(settings).object_store.bucket_names
    return Source(
        stack=other.stack if other else None,
        backups=names["backups"],
        media=names["media"],
        encrypted=AGE_IDENTITY in read,
        clone=clone,
    )


def _refuse_mail(target: Pulumi, cluster: Cluster, namespace: str) -> None:
    """A clone has the addresses of all users."""
    web = cluster.get(named_object("apps/v1", "Deployment", WEB, namespace))
    if web and MAIL in _variables(web["spec"]):
        raise OperationError(
            f"stack {target.stack} sends mail, and a clone has the addresses of all users; remove {PROJECT}:mail and "
            "run `pulumi up` first"
        )


def _variables(spec: Json) -> Mapping[str, str | None]:
    """The variables of the containers of a pod template."""
    pod = spec["template"]["spec"]
    containers = [*(pod.get("initContainers") or ()), *pod["containers"]]
    return {one["name"]: one.get("value") for container in containers for one in container.get("env") or ()}


def _settings(pulumi: Pulumi) -> Settings:
    given = {key.removeprefix(f"{PROJECT}:"): value for key, value in pulumi.settings().items()}
    known = {key: value for key, value in given.items() if key in KEYS}
    try:  # sources of credentials don't matter
        return parse(pulumi.stack, {**known, "credentials": {"source": "existing", "secret": "langfuse-credentials"}})
    except SettingsError as error:
        raise OperationError(str(error)) from None
