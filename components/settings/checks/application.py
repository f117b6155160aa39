"""Checks of web, worker and the features of Langfuse."""

import json
from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.values import quantity_value


def autoscaling_bounds_are_ordered(settings: Settings) -> Iterator[str]:
    """`minReplicas` must not exceed `maxReplicas`: the API server would refuse the HorizontalPodAutoscaler."""
    for name, workload in (("web", settings.web), ("worker", settings.worker)):
        bounds = workload.autoscaling
        if bounds and bounds.min_replicas > bounds.max_replicas:
            yield (
                f"{name}.autoscaling.minReplicas: {bounds.min_replicas} is more than maxReplicas "
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
        for name, value in getattr(settings, part):
            if isinstance(value, Resources) and quantity_value(value.cpu) > quantity_value(value.cpu_limit):
                yield (
                    f"{to_camel(part)}.{to_camel(name)}.cpu: {json.dumps(value.cpu)} is more than cpuLimit "
                    f"({value.cpu_limit}); raise cpuLimit"
                )


def write_mode_is_possible(settings: Settings) -> Iterator[str]:
    """The worker of version 4 refuses to start with these combinations (worker/src/env.ts)."""
    ingestion = settings.ingestion
    is_v4 = settings.major >= 4  # noqa: PLR2004  # of Langfuse
    mode = ingestion.write_mode or ("events_only" if is_v4 else "legacy")
    otel = ingestion.otel_behaviour or ("direct" if is_v4 else "dual_write")
    opt_in = is_v4 if ingestion.preview_opt_in is None else ingestion.preview_opt_in
    if mode == "legacy" and otel == "direct":
        yield 'ingestion.otelBehaviour: "direct" needs tables that writeMode legacy does not fill; use "dual_write"'
    if mode == "events_only" and otel == "dual_write":
        yield (
            'ingestion.otelBehaviour: "dual_write" fills tables that writeMode events_only does not write; use "direct"'
        )
    if mode == "events_only" and not opt_in:
        yield "ingestion.previewOptIn: false hides everything that writeMode events_only writes; set it to true"
    if ingestion.historic_backfill and mode == "legacy":
        yield (
            "ingestion.historicBackfill: true runs only once, so rows written later in writeMode legacy would never be "
            'copied; set writeMode to "dual" first'
        )


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
