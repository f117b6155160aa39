"""Rules that join several keys. Each yields `key: value rule; fix` for everything that it finds wrong."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence

from pydantic.alias_generators import to_camel

from components.credentials.sources import sourced
from components.schema.base import Resources
from components.schema.credentials import Existing
from components.schema.environment import Settings
from components.schema.schedules import schedule
from components.schema.values import quantity_value
from components.settings.access_checks import ACCESS_RULES
from components.settings.bucket_checks import BUCKET_RULES
from components.settings.memory_checks import memory_is_enough
from components.settings.route_checks import ROUTE_RULES
from components.stores.versions import versions_fit

Rule = Callable[[Settings], Iterator[str]]

MINUTES_A_DAY = 24 * 60


def autoscaling_bounds(settings: Settings) -> Iterator[str]:
    """A number of pods can't follow the load between bounds that cross."""
    for name, workload in (("web", settings.web), ("worker", settings.worker)):
        bounds = workload.autoscaling
        if bounds and bounds.min_replicas > bounds.max_replicas:
            yield (
                f"{name}.autoscaling.minReplicas: {bounds.min_replicas} is more than maxReplicas "
                f"({bounds.max_replicas}); raise maxReplicas"
            )


def requests_fit_limits(settings: Settings) -> Iterator[str]:
    """Kubernetes refuses a pod that asks for more than it may use. Of memory the request is the limit."""
    for part in ("web", "worker", "postgres", "clickhouse", "redis", "object_store"):
        for name, value in getattr(settings, part):
            if isinstance(value, Resources) and quantity_value(value.cpu) > quantity_value(value.cpu_limit):
                yield (
                    f"{to_camel(part)}.{to_camel(name)}.cpu: {json.dumps(value.cpu)} is more than cpuLimit "
                    f"({value.cpu_limit}); raise cpuLimit"
                )


def gateway_is_elsewhere(settings: Settings) -> Iterator[str]:
    """The namespace denies all traffic but the installation's own, and any pod that is not restricted."""
    if settings.ingress.kind == "istio" and settings.ingress.gateway.startswith(f"{settings.namespace}/"):
        yield (
            f"namespace: {json.dumps(settings.namespace)} is where the gateway is ({settings.ingress.gateway}), which "
            "its rules would cut off; name another"
        )


def allowed_pods_have_an_address(settings: Settings) -> Iterator[str]:
    """Langfuse itself refuses private addresses, whatever the network lets through."""
    for use, targets in settings.allowed_targets:
        if targets.pods and not (targets.hosts or targets.ips or targets.ranges):
            yield (
                f"allowedTargets.{to_camel(use)}.pods: can't be called while Langfuse refuses their address; add the "
                "name that users enter to hosts"
            )


def public_url_is_https(settings: Settings) -> Iterator[str]:
    """People's passwords and API keys cross the network."""
    if settings.profile == "prod" and settings.ingress.kind != "none" and not settings.ingress.tls:
        yield "ingress.tls: false would serve prod without TLS; set it to true, or use another profile"


def replicas_have_a_majority(settings: Settings) -> Iterator[str]:
    """One Keeper under three replicas is a single point of failure that three replicas were meant to avoid."""
    store = settings.clickhouse
    if store.mode == "managed" and store.keepers < store.replicas:
        yield f"clickhouse.keepers: {store.keepers} can't keep {store.replicas} replicas going; set it to 3"


def events_outlive_backups(settings: Settings) -> Iterator[str]:
    """What a restore lacks is replayed from raw events: they must still be there when it is needed."""
    days, gap = settings.object_store.events_days, schedule(settings.backups.clickhouse_schedule).longest_gap
    if math.isinf(gap):
        yield "backups.clickhouseSchedule: doesn't come every year; back up more often"
    elif days < (shortest := 2 * math.ceil(gap / MINUTES_A_DAY)):
        yield (
            f"objectStore.eventsDays: {days} is less than twice the days between two "
            f"ClickHouse backups; set it to {shortest} or more, or back up more often"
        )


def append_only_file_fits(settings: Settings) -> Iterator[str]:
    """While an append-only file is rewritten the old one is still there."""
    store = settings.redis
    if store.mode != "external" and quantity_value(store.storage) < 2 * quantity_value(store.resources.memory):
        yield (
            f"redis.storage: {json.dumps(store.storage)} is less than twice the memory "
            f"({store.resources.memory}), which the rewrite of the append-only file needs; enlarge it"
        )


def external_redis_is_reachable(settings: Settings) -> Iterator[str]:
    """Each topology has keys of its own."""
    store = settings.redis
    if store.mode != "external":
        return
    if store.topology == "single" and not store.host:
        yield "redis.host: is required with topology single; name the server"
    if store.topology != "single" and not store.nodes:
        yield f'redis.nodes: is required with topology {store.topology}; list "host:port" of each node'
    if store.topology == "sentinel" and not store.master_name:
        yield "redis.masterName: is required with topology sentinel; it is the name that the Sentinels watch"
    for node in store.nodes:
        if not re.fullmatch(r"[a-z0-9.-]+:\d{1,5}", node):
            yield f'redis.nodes: {json.dumps(node)} is not "host:port"'


def migrations_pass_the_pooler(settings: Settings) -> Iterator[str]:
    """A migration holds a lock for its session, which a pooler in transaction mode hands on to somebody else."""
    store = settings.postgres
    if store.mode == "external" and store.pooler and store.direct_host is None and store.direct_port is None:
        yield "postgres.directHost: is required with pooler true; name the server behind it, or set directPort"


def cloudnative_pg_finds_the_password(settings: Settings) -> Iterator[str]:
    """The operator reads `username` and `password` of one Secret."""
    if settings.postgres.mode != "cloudnativepg":
        return
    source = next(one.source for one in sourced(settings) if one.credential.id == "postgres_password")
    if isinstance(source, Existing) and source.key != "password":
        yield (
            "credentials.values.postgresPassword.key: is not where CloudNativePG reads it; "
            'name a Secret that has it under "password", and "langfuse" under "username"'
        )


def write_mode_is_possible(settings: Settings) -> Iterator[str]:
    """Combinations at which the worker of version 4 refuses to start (worker/src/env.ts)."""
    ingestion = settings.ingestion
    mode = ingestion.write_mode or ("events_only" if settings.major >= 4 else "legacy")  # noqa: PLR2004  # of Langfuse
    otel = ingestion.otel_behaviour or ("direct" if settings.major >= 4 else "dual_write")  # noqa: PLR2004
    opt_in = settings.major >= 4 if ingestion.preview_opt_in is None else ingestion.preview_opt_in  # noqa: PLR2004
    if mode == "legacy" and otel == "direct":
        yield 'ingestion.otelBehaviour: "direct" needs tables that writeMode legacy does not fill; use "dual_write"'
    if mode == "events_only" and otel == "dual_write":
        yield 'ingestion.otelBehaviour: "dual_write" fills tables that writeMode events_only leaves; use "direct"'
    if mode == "events_only" and not opt_in:
        yield "ingestion.previewOptIn: false leaves no view of what writeMode events_only writes; set it to true"
    if ingestion.historic_backfill and mode == "legacy":
        yield (
            "ingestion.historicBackfill: true in writeMode legacy would leave a hole for ever: it runs once; "
            'set writeMode to "dual" first'
        )


RULES: Sequence[Rule] = (
    autoscaling_bounds,
    requests_fit_limits,
    memory_is_enough,
    gateway_is_elsewhere,
    allowed_pods_have_an_address,
    public_url_is_https,
    replicas_have_a_majority,
    events_outlive_backups,
    append_only_file_fits,
    external_redis_is_reachable,
    migrations_pass_the_pooler,
    cloudnative_pg_finds_the_password,
    versions_fit,
    write_mode_is_possible,
    *ACCESS_RULES,
    *BUCKET_RULES,
    *ROUTE_RULES,
)
