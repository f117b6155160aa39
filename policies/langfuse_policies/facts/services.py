"""Services by the containers behind them."""

from collections.abc import Callable

from langfuse_policies.facts.network_policies import zones
from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.selectors import equal
from langfuse_policies.facts.workloads import Container

#: Namespace and name.
ServiceName = tuple[str, str]


def services(stack: Stack, wanted: Callable[[Container], bool]) -> set[ServiceName]:
    """The Services that select pods with such a container."""
    return {
        (name, service.object_name)
        for name, zone in zones(stack).items()
        for pod, labels in zone.pods
        if any(one.restarts and wanted(one) for one in pod.containers)
        for service in zone.services.candidates(labels)
        if not service.at("spec.selector").empty and equal(service.at("spec.selector"), labels)
    }
