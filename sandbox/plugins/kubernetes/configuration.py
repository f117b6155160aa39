"""The provider's CheckConfig and DiffConfig: whether its inputs are valid, and whether a change needs a replacement."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import kubeconfig
from sandbox.plugins.kubernetes.settings import refuse_unsupported
from sandbox.plugins.properties import UNKNOWN, Properties, Property, reveal
from sandbox.plugins.pulumirpc import provider_pb2

NOT_WITH_RENDERING: Final = ("cluster", "context", "kubeconfig")


def failures(urn: str, news: Properties) -> list[provider_pb2.CheckFailure]:
    """Return the errors in a provider's inputs."""
    found: list[provider_pb2.CheckFailure] = []

    def fail(key: str, reason: str) -> None:
        found.append(provider_pb2.CheckFailure(property=key, reason=reason))

    try:
        refuse_unsupported(news)
    except PluginError as error:
        fail("", error.message)
    if _truthy(_stack_config().get("strictMode")) or _truthy(news.get("strictMode")):
        if urn.rpartition("::")[2].startswith("default"):
            fail("", "strict mode prohibits default provider")
        for key in ("kubeconfig", "context"):
            if not news.get(key):
                fail(key, f'strict mode requires Provider "{key}" argument')
    rendering = bool(news.get("renderYamlToDirectory"))
    for key in NOT_WITH_RENDERING if rendering else ():
        ambient = key == "kubeconfig" and reveal(news.get(key)) == os.environ.get("KUBECONFIG")
        if news.get(key) and not ambient:
            fail(key, f'"{key}" arg is not compatible with "renderYamlToDirectory" arg')
    if _truthy(news.get("alwaysRender")) and not rendering:
        fail("alwaysRender", '"alwaysRender" requires "renderYamlToDirectory" to be set')
    return found


def differences(olds: Properties, news: Properties) -> tuple[list[str], list[str]]:
    """Return the keys that changed, and those among them that select another cluster and so need a replacement."""
    plain_olds, plain_news = dict(_plain(olds)), dict(_plain(news))
    changed = sorted(key for key in plain_olds.keys() | plain_news.keys() if plain_olds.get(key) != plain_news.get(key))
    identifier = plain_news.get("clusterIdentifier")
    if "clusterIdentifier" not in changed and identifier:
        return changed, []
    unknown = [key for key in ("kubeconfig", "context", "cluster") if plain_news.get(key) is UNKNOWN]
    if unknown:
        return changed, unknown[:1]
    replaces = ["renderYamlToDirectory"] if "renderYamlToDirectory" in changed else []
    if "clusterIdentifier" in changed and identifier and plain_olds.get("clusterIdentifier"):
        replaces.append("clusterIdentifier")
    location = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
    if location:
        old, new = (kubeconfig.active_cluster(bag) for bag in (plain_olds, plain_news))
        if old is not None and new is not None and old != new:
            replaces += location
    return changed, replaces


def _stack_config() -> Mapping[str, Property]:
    try:
        config = json.loads(os.environ.get("PULUMI_CONFIG") or "{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _truthy(value: Property) -> bool:
    return reveal(value) in (True, "true")


def _plain(properties: Properties) -> Iterable[tuple[str, Property]]:
    return ((key, reveal(value)) for key, value in properties.items() if value is not None)
