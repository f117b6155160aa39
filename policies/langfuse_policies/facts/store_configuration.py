"""Configuration of stores: the command, and the files that are mounted from ConfigMaps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from langfuse_policies.facts.applications import Store, langfuse_servers, stores
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Container, Pod

#: Directives of Redis and Valkey that policies read.
_DIRECTIVE = re.compile(r"^[ \t]*(?P<name>maxmemory-policy|maxmemory|appendonly)[ \t]+(?P<value>\S+)", re.M)


@dataclass(frozen=True)
class File:
    """One file of a ConfigMap."""

    name: str
    text: str
    place: Field
    owner: Resource


@dataclass
class Configuration:
    """The configuration of a container."""

    files: list[File] = field(default_factory=list)
    #: Whether all of it is part of the stack. If not, missing settings may be set elsewhere.
    complete: bool = True


class ConfigMaps:
    """The ConfigMaps of a stack by namespace and name."""

    def __init__(self, stack: Stack) -> None:
        self._maps = {(one.namespace, one.object_name): one for one in stack.of("core/ConfigMap")}

    def of(self, pod: Pod, container: Container) -> Configuration:
        """The files that a container mounts."""
        found = Configuration()
        mounted = {mount["name"].text for mount in container["volumeMounts"]}
        if not container["volumeMounts"].known or not pod.volumes.known:
            found.complete = False
        for volume in pod.volumes:
            if volume["name"].text in mounted:
                self._read(pod, volume, found)
        return found

    def _read(self, pod: Pod, volume: Field, found: Configuration) -> None:
        sources = [volume["configMap"], *(source["configMap"] for source in volume.at("projected.sources"))]
        if not volume["secret"].empty:
            found.complete = False
        for source in sources:
            if source.absent:
                continue
            config_map = self._maps.get((pod.resource.namespace, source["name"].text or ""))
            if config_map is None or not config_map["data"].known:
                found.complete = False
                continue
            for key, value in config_map["data"].entries():
                if value.text is None:
                    found.complete = False
                else:
                    found.files.append(File(key, value.text, value, config_map))


def redis_directives(
    container: Container, configuration: Configuration
) -> dict[str, tuple[str, Field, Resource | None]]:
    """Directives of Redis or Valkey with their places: the command overrides files."""
    found: dict[str, tuple[str, Field, Resource | None]] = {}
    for file in configuration.files:
        for match in _DIRECTIVE.finditer(file.text):
            found[match["name"]] = (match["value"].strip("\"'").lower(), file.place, file.owner)
    for name, value in _flags(container):
        if value.text is not None:
            found[name] = (value.text.strip("\"'").lower(), value, None)
    return found


def _flags(container: Container) -> Iterator[tuple[str, Field]]:
    """`--appendonly yes`, in one word or in two."""
    words = [*container["command"], *container["args"]]
    for word, following in pairwise(words):
        if (word.text or "").startswith("--"):
            yield (word.text or "").removeprefix("--"), following


def stores_of_langfuse(stack: Stack, *kinds: Store) -> Iterator[tuple[Pod, Container, Configuration]]:
    """Stores of these kinds in the namespaces of Langfuse, with their configuration."""
    namespaces = {pod.resource.namespace for pod, _, _ in langfuse_servers(stack)}
    config_maps = ConfigMaps(stack)
    for pod, container, store in stores(stack):
        if store in kinds and pod.resource.namespace in namespaces:
            yield pod, container, config_maps.of(pod, container)
