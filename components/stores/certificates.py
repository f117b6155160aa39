"""Certificates of private authorities, which the servers of external stores are checked against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation, config_map
from components.kubernetes.pods import Mount
from components.schema.environment import Settings

PATH = "/etc/langfuse/certificates"

Store = Literal["postgres", "redis"]


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A file for each store that has an authority of its own, and the volume that they are in."""

    mounts: Sequence[Mount]
    """For every container that connects to such a store; none if no store has one."""
    paths: Mapping[Store, str]


def certificates(installation: Installation, settings: Settings, opts: pulumi.ResourceOptions) -> Certificates:
    """The ConfigMap of all authorities, if there are any: they are public."""
    given = authorities(settings)
    if not given:
        return Certificates(mounts=(), paths={})
    workload = installation.workload("certificates", component="certificates", version="1")
    files = {f"{store}.pem": pem for store, pem in given.items()}
    bundle: k8s.core.v1.ConfigMap = config_map(installation, workload, "authorities", files, opts)
    return Certificates(
        mounts=(Mount.config("certificates", bundle.metadata.name, PATH),),
        paths={store: f"{PATH}/{store}.pem" for store in given},
    )


def authorities(settings: Settings) -> dict[Store, str]:
    """The configured authorities by store."""
    result: dict[Store, str] = {}
    if settings.postgres.mode == "external" and settings.postgres.ca:
        result["postgres"] = settings.postgres.ca
    if settings.redis.mode == "external" and settings.redis.ca:
        result["redis"] = settings.redis.ca
    return result
