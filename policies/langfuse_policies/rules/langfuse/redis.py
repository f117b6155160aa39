"""Langfuse's Redis: it holds queued jobs, and must not lose them."""

import re
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import repository
from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.store_configuration import Configuration, redis_directives, stores_of_langfuse
from langfuse_policies.facts.workloads import Container

topic = Topic("langfuse-redis", title="Langfuse: Redis", pack="reliability")

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}


def _defaults_hold(container: Container, configuration: Configuration) -> bool:
    """Whether missing settings have the server's defaults; images of Bitnami use variables."""
    words = [*container["command"].texts, *container["args"].texts]
    scripted = any(word.endswith(".sh") or word in {"-c", "sh", "/bin/sh", "bash"} for word in words)
    known = container["command"].known and container["args"].known and container["envFrom"].empty
    named = any(word.endswith(".conf") for word in words) and not configuration.files
    if scripted and not configuration.files:
        return False
    return known and configuration.complete and not named and "bitnami" not in repository(container)


@topic.stack(
    "redis-never-evicts",
    title="Redis never evicts keys",
    why="Queued jobs are keys: if Redis evicts one, events that were accepted are never ingested.",
    fix="Set maxmemory-policy to noeviction.",
    severity=Severity.CRITICAL,
    also_in=("Langfuse: cache guide", "BullMQ: going to production"),
    langfuse=True,
)
def redis_never_evicts(stack: Stack) -> Findings:
    for pod, container, configuration in stores_of_langfuse(stack, "redis"):
        policy = redis_directives(container, configuration).get("maxmemory-policy")
        if policy is not None and policy[0] != "noeviction":
            yield finding(policy[1], "keys are evicted when memory is full", policy[2] or pod.resource)


@topic.stack(
    "redis-append-only",
    title="Redis persists writes to disk",
    why="Without the append-only file, a restart loses every queued job and its events.",
    fix="Set appendonly to yes.",
    severity=Severity.CRITICAL,
    also_in=("BullMQ: going to production",),
    langfuse=True,
)
def redis_append_only(stack: Stack) -> Findings:
    for pod, container, configuration in stores_of_langfuse(stack, "redis"):
        directive = redis_directives(container, configuration).get("appendonly")
        if directive is not None and directive[0] != "yes":
            yield finding(directive[1], "jobs are not written to disk", directive[2] or pod.resource)
        elif directive is None and _defaults_hold(container, configuration):
            yield finding(container["args"], "appendonly is not set, and is off by default", pod.resource)


class RedisMemory(Settings):
    """The maxmemory of Redis."""

    percent: Annotated[
        int, Meta(ge=1, le=100, description="Share of the container's memory limit; the rest is for forks.")
    ] = 75


@topic.stack(
    "redis-memory-bounded",
    title="The maxmemory of Redis is below its memory limit",
    why="Otherwise the kernel kills Redis in the middle of a write, again and again.",
    fix="Set maxmemory to at most the share of the memory limit that this policy's configuration allows.",
    severity=Severity.CRITICAL,
    langfuse=True,
    settings=RedisMemory,
)
def redis_memory_bounded(stack: Stack, settings: RedisMemory) -> Findings:
    for pod, container, configuration in stores_of_langfuse(stack, "redis"):
        directive = redis_directives(container, configuration).get("maxmemory")
        limit = container["resources"]["limits"]["memory"].quantity
        size = None if directive is None else _bytes(directive[0])
        if directive is not None and (size == 0 or (size and limit and size > limit * settings.percent / 100)):
            owner = directive[2] or pod.resource
            problem = f"it is more than {settings.percent} % of the memory limit" if size else "0 means no limit"
            yield finding(directive[1], problem, owner)
        elif directive is None and _defaults_hold(container, configuration):
            yield finding(container["args"], "maxmemory is not set, and unlimited by default", pod.resource)


def _bytes(size: str) -> float | None:
    """A size in the notation of redis.conf."""
    match = re.fullmatch(r"(\d{1,18})([kmg]?b?)", size)
    return float(match[1]) * _UNITS[match[2]] if match else None
