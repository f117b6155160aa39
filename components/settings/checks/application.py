"""Checks of web, worker and the features of Langfuse."""

import json
from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from components.schema.base import Resources
from components.schema.environment import V4, Settings, deployment_key
from components.schema.values import quantity_value


def autoscaling_bounds_are_ordered(settings: Settings) -> Iterator[str]:
    """`minReplicas` must not exceed `maxReplicas`: the API server would refuse the HorizontalPodAutoscaler."""
    for name, workload in settings.deployments.items():
        bounds = workload.autoscaling
        if bounds and bounds.min_replicas > bounds.max_replicas:
            yield (
                f"{deployment_key(name)}.autoscaling.minReplicas: {bounds.min_replicas} is more than maxReplicas "
                f"({bounds.max_replicas}); raise maxReplicas"
            )


def builds_choose_their_users(settings: Settings) -> Iterator[str]:
    """The cluster refuses pods that ask for users, if it assigns them itself."""
    for name, build in settings.images.builds:
        if build.uid and settings.cluster.users == "namespace":
            yield (
                f"images.builds.{to_camel(name)}.uid: {build.uid} has no effect, because the cluster assigns users "
                "(cluster.users: namespace); remove it"
            )


def requests_fit_limits(settings: Settings) -> Iterator[str]:
    """Kubernetes refuses a pod whose CPU request exceeds its limit. The memory request always equals the limit."""
    for part in ("web", "worker", "postgres", "clickhouse", "redis", "object_store"):
        for name in type(getattr(settings, part)).model_fields:
            for key, value in resources_of(settings, part, name):
                if quantity_value(value.cpu) > quantity_value(value.cpu_limit):
                    yield (
                        f"{key}.cpu: {json.dumps(value.cpu)} is more than cpuLimit ({value.cpu_limit}); raise cpuLimit"
                    )


def resources_of(settings: Settings, part: str, name: str) -> Iterator[tuple[str, Resources]]:
    """The resources in a field of a section, and those that its pools set, each with its configuration key.

    Args:
        settings: The settings.
        part: The section, for example `worker`.
        name: Its field, for example `resources`.
    """
    section = getattr(settings, part)
    value = getattr(section, name, None)
    if isinstance(value, Resources):
        yield f"{to_camel(part)}.{to_camel(name)}", value
    for pool, own in getattr(section, "pools", {}).items() if name == "resources" else ():
        if own.resources is not None:
            yield f"{deployment_key(f'{part}-{pool}')}.resources", own.resources


def phase_is_possible(settings: Settings) -> Iterator[str]:
    """Version 3 has no tables of version 4, and an acknowledgement is for one phase."""
    phase = settings.phase
    if settings.major < V4 and phase != "legacy":
        yield (
            f"ingestion.phase: {json.dumps(phase)} needs the tables of version 4, and version is {settings.version}; "
            "set version to a release of version 4 first, or phase to legacy"
        )
    if settings.ingestion.acknowledge_events_only and phase != "events_only":
        yield f"ingestion.acknowledgeEventsOnly: true is for phase events_only, and phase is {phase}; remove it"


def licensed_features_have_a_license(settings: Settings) -> Iterator[str]:
    """Langfuse silently ignores these features without a license (web/src/features/entitlements)."""
    if settings.license is not None:
        return
    sign_in = settings.sign_in
    for key, used in (
        ("firstStart.projectRetentionDays", settings.first_start.project_retention_days is not None),
        ("signIn.defaultProjectRole", sign_in.default_project_role is not None),
        ("signIn.organizationCreators", bool(sign_in.organization_creators)),
    ):
        if used:
            yield f"{key}: is ignored by Langfuse without an Enterprise license; add license, or remove it"
