"""Clients of the stores."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import is_langfuse, repository, store_of
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.network_policies import Zone, is_empty, is_the_node, zones
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.selectors import Labels, matches
from langfuse_policies.facts.workloads import Pod

topic = Topic("stores-network", title="Network of the stores", pack="security")


class Operators(Settings):
    """Operators of stores in other namespaces."""

    namespaces: Annotated[tuple[str, ...], Meta(description="Namespaces whose pods may connect to every store.")] = (
        "cnpg-system",
        "openshift-operators",
        "monitoring",
    )


@topic.stack(
    "stores-name-their-clients",
    title="Stores accept connections from named clients only",
    why="An attacker who can reach a store needs only its password. A rule for everyone admits any pod that was "
    "broken into.",
    fix="Select the clients' labels in `from`; only an object store may admit another namespace, for links.",
    severity=Severity.HIGH,
    also_in=("C-0054",),
    settings=Operators,
)
def stores_name_their_clients(stack: Stack, settings: Operators) -> Findings:
    seen: set[tuple[str, str]] = set()
    for zone in zones(stack).values():
        for store, policy, rule in _rules_into_stores(zone):
            for place, problem in _too_wide(rule, store, settings):
                if (policy.urn, place.path) not in seen:
                    seen.add((policy.urn, place.path))
                    yield finding(place, problem, of=policy)


def _rules_into_stores(zone: Zone) -> Iterator[tuple[str, Resource, Field]]:
    """The rules that certainly allow a client of a store."""
    for pod, labels in zone.pods:
        if store := _store(pod):
            for policy, rule in zone.rules_for(labels, "Ingress"):
                if policy.selects(labels) and policy.isolates("Ingress") and rule.known:
                    yield store, policy.resource, rule


def _store(pod: Pod) -> str | None:
    return next((store for one in pod.containers if one.restarts and (store := store_of(one))), None)


def _too_wide(rule: Field, store: str, settings: Operators) -> Iterator[tuple[Field, str]]:
    if rule["from"].empty:
        yield rule, "allows everyone"
    for peer in rule["from"]:
        namespaces, pods = peer["namespaceSelector"], peer["podSelector"]
        every_pod = pods.absent or is_empty(pods)
        if peer["ipBlock"]["cidr"].present and not is_the_node(peer):
            yield peer, "allows addresses instead of pods"
        elif namespaces.present and is_empty(namespaces):
            yield peer, "allows every namespace"
        elif namespaces.absent and pods.present and is_empty(pods):
            yield peer, "allows every pod of the namespace"
        elif namespaces.present and every_pod and store != "object-store":
            name = namespaces["matchLabels"]["kubernetes.io/metadata.name"]
            if namespaces["matchLabels"].known and name.differs(*settings.namespaces):
                yield peer, "allows all pods of another namespace"


class Clients(Settings):
    """Other clients of Langfuse's stores."""

    images: Annotated[tuple[str, ...], Meta(description="Last parts of the repositories of proxies and exporters.")] = (
        "pgbouncer",
        "postgres_exporter",
        "postgres-exporter",
        "redis_exporter",
        "clickhouse-backup",
    )


@topic.stack(
    "langfuse-stores-for-langfuse",
    title="Only Langfuse connects to its stores",
    why="They contain the prompts, traces and API keys of all projects. Only web, worker, and the Jobs for "
    "migrations and backups need them.",
    fix="Remove the pod's labels from `from`; let it use Langfuse's API.",
    severity=Severity.HIGH,
    langfuse=True,
    settings=Clients,
)
def langfuse_stores_for_langfuse(stack: Stack, settings: Clients) -> Findings:
    for zone in zones(stack).values():
        if not any(is_langfuse(container) for pod, _ in zone.pods for container in pod.containers):
            continue
        strangers = [entry for entry in zone.pods if not _belongs(entry[0], settings)]
        for place, policy in _let_in(zone, strangers, keeper=False):
            yield finding(place, "allows pods that are not part of Langfuse", of=policy)


def _belongs(pod: Pod, settings: Clients) -> bool:
    if pod.resource.kind.startswith("batch/") or _store(pod):
        return True
    names = {repository(container).rpartition("/")[2] for container in pod.containers}
    unknown = not pod.spec["containers"].known or "" in names
    return unknown or any(map(is_langfuse, pod.containers)) or not names.isdisjoint(settings.images)


@topic.stack(
    "keeper-for-clickhouse",
    title="Only ClickHouse connects to Keeper",
    why="Keeper usually requires no password: whoever can reach it can drop the replicas of every table.",
    fix="Allow only ClickHouse and Keeper.",
    severity=Severity.HIGH,
)
def keeper_for_clickhouse(stack: Stack) -> Findings:
    for zone in zones(stack).values():
        stores = {_store(pod) for pod, _ in zone.pods}
        if {"clickhouse", "keeper"} <= stores:  # otherwise it may be the ZooKeeper of another application
            strangers = [entry for entry in zone.pods if _store(entry[0]) not in ("clickhouse", "keeper")]
            for place, policy in _let_in(zone, strangers, keeper=True):
                yield finding(place, "allows more than ClickHouse", of=policy)


def _let_in(
    zone: Zone, strangers: list[tuple[Pod, Labels | None]], *, keeper: bool
) -> Iterator[tuple[Field, Resource]]:
    """Rules that allow some of these pods to connect to Keeper, or to the other stores."""
    seen: set[tuple[str, str]] = set()
    for store, policy, rule in _rules_into_stores(zone):
        for peer in rule["from"]:
            selector = peer["podSelector"]
            named = peer["namespaceSelector"].absent and is_empty(selector) is False
            if (store == "keeper") is keeper and named and (policy.urn, peer.path) not in seen:
                seen.add((policy.urn, peer.path))
                if any(matches(selector, labels) for _, labels in strangers):
                    yield peer, policy
