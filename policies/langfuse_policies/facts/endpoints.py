"""Endpoints of object stores in containers, and whether they are stores of the same stack."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from langfuse_policies.facts.applications import stores
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.selectors import equal, labels_of
from langfuse_policies.facts.workloads import Container, Pod

_URL = re.compile(r"(https?|s3)://(?:[^/@\s]*@)?([A-Za-z0-9.-]+)(?::\d+)?(?:/([\w.-]+))?")
_NAMES_ENDPOINT = re.compile(r"ENDPOINT|URL|HOST_")
#: A Service in its namespace, in full and shorter: NAME.NAMESPACE.svc.DOMAIN.
_SERVICE = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9-]+)(?:\.svc(?:\..+)?)?)?$")


@dataclass(frozen=True)
class Endpoint:
    """A place where a container reads or writes objects."""

    host: str
    #: The first part of the path; empty when there is none.
    bucket: str
    place: Field
    resource: Resource


@dataclass(frozen=True)
class Endpoints:
    """The object stores that a stack runs itself."""

    stack: Stack

    @cached_property
    def own(self) -> dict[tuple[str, str], Container]:
        """Namespace and name of each Service of an object store in the stack, and the store's container."""
        servers = [
            (pod, labels_of(pod.labels), container)
            for pod, container, store in stores(self.stack)
            if store == "object-store"
        ]
        return {
            (service.namespace, service.object_name): container
            for service in self.stack.of("core/Service")
            for pod, labels, container in servers
            if service.namespace == pod.resource.namespace
            and service.at("spec.selector").size
            and equal(service.at("spec.selector"), labels)
        }

    def server(self, endpoint: Endpoint) -> Container | None:
        """The container of this stack that serves it; None when it is outside the stack."""
        match = _SERVICE.match(endpoint.host)
        return self.own.get((match[2] or endpoint.resource.namespace, match[1])) if match else None


def endpoints(pod: Pod, variables: str = "") -> Iterator[Endpoint]:
    """The endpoints in commands and variables, or only in variables whose names contain a word."""
    for container in pod.containers:
        places = [] if variables else [*container["command"], *container["args"]]
        places += [one["value"] for one in container.variables if variables in (one["name"].text or "")]
        for place in places:
            text = place.text or ""
            for scheme, host, bucket in _URL.findall(text):
                if scheme != "s3" or "endpoint" not in text:  # there it is a bucket of the endpoint
                    yield Endpoint(host, bucket, place, pod.resource)


def hides_endpoints(pod: Pod) -> bool:
    """Whether there may be endpoints that can't be seen: in Secrets, or unknown."""
    if not pod.spec["containers"].known or not pod.spec["initContainers"].known:
        return True
    for container in pod.containers:
        if not container["env"].known or container["envFrom"].size:
            return True
        for variable in container.variables:
            hidden = not variable["value"].known or variable["valueFrom"].present
            if hidden and _NAMES_ENDPOINT.search(variable["name"].text or ""):
                return True
    return False
