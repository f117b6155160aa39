"""Computes what a load needs of an environment, with the arithmetic and its sources.

Langfuse publishes minimums and one figure for Redis, but neither throughput per pod nor bytes per event. These are
assumptions here, each with a name and a reason: measure your own and compare.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from components.schema.environment import Settings
from components.schema.schedules import schedule
from components.schema.stores import ManagedClickHouse, ManagedObjectStore, ManagedRedis, SentinelRedis
from components.schema.values import quantity_value
from components.settings.scales import Load
from components.stores.redis.memory import OVERHEAD_BYTES

DAY_SECONDS: Final = 86_400

EVENT_BYTES: Final = 5_000
"""Assumption: the JSON of one event with its prompt and completion, some thousand characters. Set `--event-bytes` to
your own average: every storage figure is proportional to it."""

EVENTS_PER_CPU: Final = 25
"""Assumption: events per second for each requested core of web, worker and ClickHouse, at half load: Langfuse calls a
container of 2 CPUs saturated above 50 % (configuration/scaling, "Scaling the worker containers")."""

JOB_SECONDS: Final = Decimal("0.2")
"""Assumption: the time that a worker waits for the object store, Redis and Postgres per event. A job of OpenTelemetry
holds many spans, so this is an upper bound."""

REDIS_BYTES_PER_EVENT_A_MINUTE: Final = Decimal(10**9) / 100_000
"""Langfuse: about 1 GB of memory per 100,000 events a minute (deployment/infrastructure/cache)."""

CLICKHOUSE_BYTES_PER_CPU: Final = 4 * 1024**3
"""Langfuse's minimum is 8 GiB with 2 CPUs (configuration/scaling)."""

CHAIN: Final = 7
"""The longest chain of backups of ClickHouse (components/backups/scripts/sets.js)."""

REWRITTEN: Final = 3
"""Assumption: an incremental backup has the rows of a day, and what merges wrote again: three times as much."""

MONTH_DAYS: Final = 31

RECENT_DAYS: Final = 2
"""All sets of the last days are kept (components/backups/scripts/sets.js)."""

COMPRESSION: Final = 5
"""Assumption: how much smaller an event is in ClickHouse than as JSON. Inputs and outputs are compressed with ZSTD(3)
(packages/shared/clickhouse/migrations/clustered/0039_create_events_full.up.sql)."""

TABLES: Final = Decimal("1.5")
"""Assumption: the table `events_full`, plus `events_core` with the first 200 characters (migration 0041), indexes, and
parts that are being merged."""

FULL_AT: Final = Decimal("0.8")
"""The planned fill level of a volume: Langfuse advises an alert at 80 % (deployment/infrastructure/clickhouse)."""

ERASURE_SHARE: Final = {1: Decimal(1), 4: Decimal("0.5")}
"""The share of MinIO's volumes that holds objects, by number of servers: of four volumes two hold parity (EC:2, MinIO's
default for a set of four)."""

POSTGRES_DUMP_BYTES: Final = 100_000_000
"""Assumption: compressed users, prompts, datasets and settings. Postgres holds no events."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One number that the load needs, and the number of the environment."""

    key: str
    """The key in the stack file, without `langfuse:`."""
    least: int | str
    """The smallest sufficient value, in the format of the key."""
    has: int | str
    fits: bool
    formula: str
    source: str
    also: Mapping[str, str] = field(default_factory=dict)
    """Other keys to raise with it, such as a limit."""


@dataclass(frozen=True, kw_only=True)
class ClickHouseBackups:
    """What backups of ClickHouse take in the object store, in bytes."""

    full: Decimal
    increment: Decimal
    chains: int
    """Chains that `backups.keep` keeps at most."""

    @classmethod
    def of(cls, load: Load, settings: Settings, event_bytes: int = EVENT_BYTES) -> "ClickHouseBackups":
        """The backups of every day for a load."""
        rate, keep = Decimal(str(load.events_per_second)), settings.backups.keep
        full = _rows(rate, load.retained_days, event_bytes)
        # Each week and month may keep a chain of its own, and the days keep those of their weeks and of the next one.
        chains = math.ceil(keep.daily / CHAIN) + 1 + keep.weekly + keep.monthly
        return cls(full=full, increment=min(full, full / load.retained_days * REWRITTEN), chains=chains)

    @property
    def chain(self) -> Decimal:
        """A full backup with the increments upon it."""
        return self.full + (CHAIN - 1) * self.increment

    @property
    def month_of_copies(self) -> Decimal:
        """A full copy every day of a month, as releases before sets kept."""
        return MONTH_DAYS * self.full

    @property
    def month(self) -> Decimal:
        """The backups of a month, of which none has been removed yet."""
        return math.ceil(MONTH_DAYS / CHAIN) * self.chain

    @property
    def kept(self) -> Decimal:
        """What retention keeps, when as many months have passed."""
        return self.chains * self.chain


def needs(load: Load, settings: Settings, event_bytes: int = EVENT_BYTES) -> Sequence[Need]:
    """Every number of an environment that grows with the load. External stores are not sized."""
    peak = Decimal(str(load.busiest))
    return [
        *_workloads(peak, settings),
        *_redis(peak, settings),
        *_clickhouse(load, settings, event_bytes),
        *_object_store(load, settings, event_bytes),
    ]


def _workloads(rate: Decimal, settings: Settings) -> Iterator[Need]:
    for name, workload in (("web", settings.web), ("worker", settings.worker)):
        cores = quantity_value(workload.resources.cpu)
        yield _count(
            f"{name}.replicas",
            rate / (EVENTS_PER_CPU * cores),
            workload.replicas,
            f"{plain(rate)} events/s / ({EVENTS_PER_CPU} for each core x {plain(cores)} cores)",
            f"assumption: {EVENTS_PER_CPU} events/s for each core, at half load",
        )
    pods = max(
        settings.worker.replicas, math.ceil(rate / EVENTS_PER_CPU / quantity_value(settings.worker.resources.cpu))
    )
    for key, jobs in (
        ("worker.otelConcurrency", settings.worker.otel_concurrency),
        ("worker.concurrency", settings.worker.concurrency),
    ):
        yield _count(
            key,
            rate * JOB_SECONDS / pods,
            jobs,
            f"{plain(rate)} events/s x {JOB_SECONDS} s / {pods} pods",
            f"assumption: a worker waits {JOB_SECONDS} s per event",
        )


def _redis(rate: Decimal, settings: Settings) -> Iterator[Need]:
    store = settings.redis
    if not isinstance(store, ManagedRedis | SentinelRedis):
        return
    yield _bytes(
        "redis.resources.memory",
        2 * rate * 60 * REDIS_BYTES_PER_EVENT_A_MINUTE + OVERHEAD_BYTES,
        store.resources.memory,
        f"2 x {plain(rate)} events/s x 60 s x {plain(REDIS_BYTES_PER_EVENT_A_MINUTE)} bytes + 64 MiB",
        "Langfuse: 1 GB for every 100,000 events a minute; twice, for rewrites of the append-only file",
    )


def _clickhouse(load: Load, settings: Settings, event_bytes: int) -> Iterator[Need]:
    store, days = settings.clickhouse, load.retained_days
    peak, rate = Decimal(str(load.busiest)), Decimal(str(load.events_per_second))
    if not isinstance(store, ManagedClickHouse):
        return
    cores = peak / EVENTS_PER_CPU
    yield _cores(
        "clickhouse.resources.cpu",
        cores,
        store.resources.cpu,
        f"{plain(peak)} events/s / {EVENTS_PER_CPU}; further servers hold copies, since there is one shard",
        f"assumption: {EVENTS_PER_CPU} events/s for each core, at half load",
    )
    yield _bytes(
        "clickhouse.resources.memory",
        cores * CLICKHOUSE_BYTES_PER_CPU,
        store.resources.memory,
        f"{plain(cores)} cores x 4 GiB",
        "Langfuse: 8 GiB with 2 CPUs, 16 GiB or more in larger deployments",
    )
    yield _bytes(
        "clickhouse.storage",
        _rows(rate, days, event_bytes) / FULL_AT,
        store.storage,
        f"{plain(rate)} events/s x {DAY_SECONDS} s x {days} days x {event_bytes} bytes / {COMPRESSION} x {TABLES} "
        f"/ {FULL_AT}",
        f"assumption: compressed to 1/{COMPRESSION}, x {TABLES} for other tables; Langfuse: alert at 80 % full",
    )


def _object_store(load: Load, settings: Settings, event_bytes: int) -> Iterator[Need]:
    """Without media and exports: their amount does not follow from the load."""
    store, rate = settings.object_store, Decimal(str(load.events_per_second))
    if not isinstance(store, ManagedObjectStore):
        return
    events = rate * DAY_SECONDS * store.events_days * event_bytes
    keep, copies = settings.backups.keep, ClickHouseBackups.of(load, settings, event_bytes)
    recent = schedule(settings.backups.postgres_schedule).most_starts(RECENT_DAYS)
    dumps = recent + keep.daily + keep.weekly + keep.monthly
    backups = copies.kept + dumps * POSTGRES_DUMP_BYTES
    share = store.nodes * ERASURE_SHARE[store.nodes]
    yield _bytes(
        "objectStore.storage",
        (events + backups) / share / FULL_AT,
        store.storage,
        f"({plain(rate)} events/s x {DAY_SECONDS} s x {store.events_days} days x {event_bytes} bytes "
        f"+ {copies.chains} chains of backups of ClickHouse x "
        f"({gigabytes(copies.full)} + {CHAIN - 1} x {gigabytes(copies.increment)}) "
        f"+ {dumps} dumps of Postgres x {gigabytes(Decimal(POSTGRES_DUMP_BYTES))}) / {plain(share)} / {FULL_AT}",
        "raw events are stored as received; media and exports come on top; "
        "MinIO: of four volumes two hold data; assumption: size of a Postgres dump",
    )


def _rows(rate: Decimal, days: int, event_bytes: int) -> Decimal:
    """The bytes of Langfuse's tables in ClickHouse."""
    return rate * DAY_SECONDS * days * event_bytes / COMPRESSION * TABLES


def _count(key: str, exact: Decimal, has: int, formula: str, source: str) -> Need:
    least = max(1, math.ceil(exact))
    return Need(key=key, least=least, has=has, fits=least <= has, formula=formula, source=source)


def _bytes(key: str, exact: Decimal, has: str, formula: str, source: str) -> Need:
    fits = exact <= quantity_value(has)
    return Need(key=key, least=_quantity(exact), has=has, fits=fits, formula=formula, source=source)


def _cores(key: str, exact: Decimal, has: str, formula: str, source: str) -> Need:
    least = f"{math.ceil(exact * 1000)}m" if exact < 1 else str(math.ceil(exact))
    also = {f"{key}Limit": str(2 * math.ceil(exact))}
    fits = exact <= quantity_value(has)
    return Need(key=key, least=least, has=has, fits=fits, formula=formula, source=source, also=also)


def _quantity(value: Decimal) -> str:
    """Bytes as a Kubernetes quantity, rounded up to about three digits."""
    for power, suffix in ((4, "Ti"), (3, "Gi")):
        if value >= 10 * 1024**power:
            return f"{math.ceil(value / 1024**power)}{suffix}"
    return f"{max(1, math.ceil(value / 1024**2))}Mi"


def plain(number: Decimal) -> str:
    """A number without an exponent or trailing zeros."""
    return f"{number.normalize():f}"


def gigabytes(number: Decimal) -> str:
    """Bytes in gigabytes, with the unit."""
    return f"{number / 10**9:.1f} GB"
