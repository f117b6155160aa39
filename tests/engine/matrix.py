"""Every mode of each store as configuration, with the resources that it must create; and combinations of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, reduce
from itertools import combinations, cycle, islice, product
from operator import or_
from typing import Final, TypeAlias

from components.settings.clusters import CLUSTERS, DEFAULT
from components.settings.profiles import PROFILES


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One value of a factor."""

    config: Mapping[str, object]
    sets: Mapping[str, int] = field(default_factory=dict)
    """The StatefulSets that it creates, with their replicas."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """The numbers of resources that it creates, of the kinds in COUNTED."""
    issued: tuple[str, ...] = ()
    """Credentials that an external system issues."""


OBJECT_STORE_KEYS: Final = tuple(
    f"objectStore{purpose}{part}"
    for purpose in ("Events", "Media", "Exports", "Backups")
    for part in ("AccessKeyId", "SecretAccessKey")
)
OUTSIDE: Final[Mapping[str, object]] = {
    "mode": "external",
    "region": "eu-central-1",
    "buckets": {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")},
}
COUNTED: Final = ("Bucket", "Cluster", "VirtualService", "HTTPRoute")

FACTORS: Final[Mapping[str, Mapping[str, Choice]]] = {
    "profile": {name: Choice(config={"profile": name}) for name in PROFILES},
    "version": {version: Choice(config={"version": version}) for version in ("4.82.0", "3.225.9")},
    "postgres": {
        "managed": Choice(config={"postgres": {"mode": "managed"}}, sets={"postgres": 1}),
        "cloudnativepg": Choice(config={"postgres": {"mode": "cloudnativepg"}}, kinds={"Cluster": 1}),
        "external": Choice(
            config={"postgres": {"mode": "external", "host": "postgres.example.com"}}, issued=("postgresPassword",)
        ),
    },
    "clickhouse": {
        "one": Choice(
            config={"clickhouse": {"mode": "managed", "replicas": 1, "keepers": 1}},
            sets={"clickhouse": 1, "keeper": 1},
        ),
        "three": Choice(
            config={"clickhouse": {"mode": "managed", "replicas": 3, "keepers": 3}},
            sets={"clickhouse": 3, "keeper": 3},
        ),
        "external": Choice(
            config={"clickhouse": {"mode": "external", "host": "clickhouse.example.com"}},
            issued=("clickhousePassword",),
        ),
    },
    "redis": {
        "managed": Choice(config={"redis": {"mode": "managed"}}, sets={"redis": 1}),
        "sentinel": Choice(config={"redis": {"mode": "sentinel"}}, sets={"redis": 3}),
        "external": Choice(
            config={"redis": {"mode": "external", "host": "redis.example.com"}}, issued=("redisPassword",)
        ),
    },
    "objectStore": {
        "one": Choice(config={"objectStore": {"mode": "managed", "nodes": 1}}, sets={"object-store": 1}),
        "four": Choice(config={"objectStore": {"mode": "managed", "nodes": 4}}, sets={"object-store-cluster": 4}),
        "external": Choice(config={"objectStore": OUTSIDE}, issued=OBJECT_STORE_KEYS),
        "buckets": Choice(
            config={"objectStore": {**OUTSIDE, "manageBuckets": True}}, kinds={"Bucket": 4}, issued=OBJECT_STORE_KEYS
        ),
    },
    "credentials": {
        "generated": Choice(config={}),
        "external-secrets": Choice(
            config={"credentials": {"source": "external-secrets", "secretStore": {"name": "vault"}}}
        ),
        "existing": Choice(config={"credentials": {"source": "existing", "secret": "langfuse-credentials"}}),
    },
    "ingress": {
        "istio": Choice(config={"ingress": {"kind": "istio"}}, kinds={"VirtualService": 1}),
        "gateway-api": Choice(
            config={"ingress": {"kind": "gateway-api", "gateway": "gateways/public"}}, kinds={"HTTPRoute": 1}
        ),
        "nginx": Choice(
            config={
                "ingress": {"kind": "ingress", "controller": "nginx", "proxy": {"mesh": False}},
                "mesh": {"mode": "ambient"},
            },
        ),
        "traefik": Choice(config={"ingress": {"kind": "ingress", "controller": "traefik"}}),
        "none": Choice(config={"ingress": {"kind": "none"}}),
    },
}

Row: TypeAlias = tuple[str, ...]
"""A choice for each factor, in the order of the factors."""


def all_rows() -> Iterator[Row]:
    """The cross product of all factors but the last, whose choices take turns."""
    *others, last = FACTORS.values()
    for number, row in enumerate(product(*others)):
        yield (*row, [*last][number % len(last)])


def choices(row: Row) -> list[Choice]:
    """The choices of a row."""
    return [FACTORS[factor][name] for factor, name in zip(FACTORS, row, strict=True)]


def in_every_cluster(rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """The rows with a kind of cluster each. If there are more kinds than rows, some rows are repeated.

    The kind of cluster is no factor: what it changes does not depend on the other choices.
    """
    return list(islice(zip(cycle(rows), cycle(CLUSTERS), strict=False), max(len(rows), len(CLUSTERS))))


def config(row: Row, cluster: str = DEFAULT) -> dict[str, object]:
    """The configuration of a row, with a Secret for every credential that an external system issues."""
    merged: dict[str, object] = {"host": "langfuse.example.com", "cluster": {"preset": cluster}}
    for choice in choices(row):
        merged |= choice.config
    named = dict(zip(FACTORS, row, strict=True))
    values: dict[str, object] = {}
    if named["credentials"] == "generated":
        values |= {key: secret_key(key) for choice in choices(row) for key in choice.issued}
    elif named["credentials"] == "existing" and named["postgres"] == "cloudnativepg":  # the operator requires this key
        values["postgresPassword"] = secret_key("password")
    if named["objectStore"] == "external":  # without a key that deletes, there is a warning
        values |= {key: secret_key(key) for key in ("objectStorePruneAccessKeyId", "objectStorePruneSecretAccessKey")}
    if values:
        chosen = FACTORS["credentials"][named["credentials"]].config.get("credentials", {})
        merged["credentials"] = {**chosen, "values": values}  # type: ignore[dict-item]  # a map, as above
    return merged


def small(postgres: str = "external", *, credentials: str = "existing", ingress: str = "none") -> dict[str, object]:
    """A stack file's configuration with half of the resources of dev: all stores but Postgres are external."""
    row = ("dev", "4.82.0", postgres, "external", "external", "external", credentials, ingress)
    return {f"langfuse:{key}": value for key, value in config(row).items()}


def secret_key(key: str) -> dict[str, str]:
    """A credential in an existing Secret."""
    return {"source": "existing", "secret": "outside", "key": key}


def combined(row: Row, together: int) -> set[tuple[tuple[str, str], ...]]:
    """All combinations of so many choices in a row."""
    return set(combinations(zip(FACTORS, row, strict=True), together))


@cache
def few_rows(together: int) -> Sequence[Row]:
    """A small set of rows that contains every combination of so many choices (greedy)."""
    bits: defaultdict[object, int] = defaultdict(lambda: 1 << len(bits))
    held = {row: reduce(or_, (bits[one] for one in combined(row, together))) for row in all_rows()}
    missing = reduce(or_, held.values())
    chosen: list[Row] = []
    while missing:
        best = max(held, key=lambda row: (held[row] & missing).bit_count())
        chosen.append(best)
        missing &= ~held[best]
    return chosen
