"""Langfuse's environment variables, with their values from Secrets and ConfigMaps of the stack."""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Container, Pod


def missing(container: Container, name: str) -> bool:
    """Whether a variable is certainly not set: Langfuse treats an empty one as unset, and `envFrom` may set any."""
    variable = container.variable(name)
    unset = variable.absent or (variable["value"].empty and variable["valueFrom"].absent)
    return unset and container["envFrom"].empty


def is_true(container: Container, name: str) -> bool:
    """Whether a variable is `true`, the one spelling that all of Langfuse accepts."""
    return container.variable(name)["value"].equals("true")


def certainly_not_true(container: Container, name: str) -> bool:
    """Whether it is not set, or set to a text other than `true`."""
    value = container.variable(name)["value"]
    return missing(container, name) or (value.present and not value.equals("true"))


def url_of(text: str | None) -> SplitResult | None:
    """The parts of a URL; None if the text is not one."""
    try:
        return urlsplit(text) if text else None
    except ValueError:
        return None


def host_of(url: SplitResult | None) -> str:
    """The host of a URL; empty when there is none."""
    try:
        return (url.hostname or "") if url else ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Setting:
    """One variable: its field, its source, and its value if it is known."""

    place: Field
    #: The Secret or ConfigMap and its key; empty for a value in the workload itself.
    source: tuple[str, ...]
    value: str | None
    #: The object that holds the value, if it is part of the stack.
    holder: Resource | None = None


class Variables:
    """Variables of containers, followed to their values."""

    def __init__(self, stack: Stack) -> None:
        self._holders = {
            (one.kind, one.namespace, one.object_name): one
            for one in stack.of("core/Secret", "core/ConfigMap", "external-secrets.io/ExternalSecret")
        }

    def setting(self, pod: Pod, container: Container, name: str) -> Setting | None:
        """A variable that is set by `value`, `secretKeyRef` or `configMapKeyRef`; None for every other."""
        variable = container.variable(name)
        if literal := variable["value"].text:
            return Setting(variable["value"], (), literal)
        for kind, reference in (("core/Secret", "secretKeyRef"), ("core/ConfigMap", "configMapKeyRef")):
            place = variable["valueFrom"][reference]
            holder, key = place["name"].text, place["key"].text
            if holder is not None and key is not None:
                return self._held(kind, (pod.resource.namespace, holder, key), place)
        return None

    def _held(self, kind: str, source: tuple[str, str, str], place: Field) -> Setting:
        namespace, name, key = source
        holder = self._holders.get((kind, namespace, name))
        if holder is not None:
            return Setting(place, (kind, *source), held_value(holder, key), holder)
        external = self._holders.get(("external-secrets.io/ExternalSecret", namespace, name))
        return Setting(place, (kind, *source), None, external)


def held_value(holder: Resource, key: str) -> str | None:
    """The value of a key in a Secret or ConfigMap, in plain text; None when it is unknown or not a text."""
    plain = holder["stringData"][key].text
    data = holder["data"][key].text
    if plain is not None or data is None or holder.kind != "core/Secret":
        return plain if plain is not None else data
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
