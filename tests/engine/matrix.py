"""Every way to run each store, as configuration, with what it must come to; and few combinations that pair them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Final, TypeAlias

from components.settings.profiles import PROFILES


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One value of a factor."""

    config: Mapping[str, object]
    sets: Mapping[str, int] = field(default_factory=dict)
    """StatefulSets that it takes, and their replicas."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Of the kinds in COUNTED the resources that it takes."""
    issued: tuple[str, ...] = ()
    """Credentials that somebody outside gives out."""


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
COUNTED: Final = ("Bucket", "Cluster")

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
}

Row: TypeAlias = tuple[str, ...]
"""A choice for each factor, in their order."""


def all_rows() -> Iterator[Row]:
    """The full cross product."""
    yield from product(*(choices for choices in FACTORS.values()))


def choices(row: Row) -> list[Choice]:
    """What a row chooses."""
    return [FACTORS[factor][name] for factor, name in zip(FACTORS, row, strict=True)]


def config(row: Row) -> dict[str, object]:
    """The configuration of a row, with a Secret for every credential that somebody outside gives out."""
    merged: dict[str, object] = {"host": "langfuse.example.com"}
    for choice in choices(row):
        merged |= choice.config
    named = dict(zip(FACTORS, row, strict=True))
    if named["credentials"] == "generated":
        sources = {key: secret_key(key) for choice in choices(row) for key in choice.issued}
        merged["credentials"] = {"values": sources}
    elif named["credentials"] == "existing" and named["postgres"] == "cloudnativepg":  # the operator asks for this key
        merged["credentials"] = {
            **FACTORS["credentials"]["existing"].config["credentials"],  # type: ignore[dict-item]  # a map: see above
            "values": {"postgresPassword": secret_key("password")},
        }
    return merged


def secret_key(key: str) -> dict[str, str]:
    """A credential in a Secret of somebody else."""
    return {"source": "existing", "secret": "outside", "key": key}


def combined(row: Row, together: int) -> set[tuple[tuple[str, str], ...]]:
    """Every so many choices that stand together in a row."""
    return set(combinations(zip(FACTORS, row, strict=True), together))


def few_rows(together: int) -> list[Row]:
    """Few rows in which every so many choices of different factors stand together at least once (greedy)."""
    held = {row: combined(row, together) for row in all_rows()}
    missing = set().union(*held.values())
    chosen: list[Row] = []
    while missing:
        best = max(held, key=lambda row: len(held[row] & missing))
        chosen.append(best)
        missing -= held[best]
    return chosen
