"""All checks of `doctor`, in the order in which a person would make them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from components.schema.requests import Requests
from operations import cluster_identity
from operations.changes.capacity import requests
from operations.cluster import Cluster
from operations.doctor import cluster as clusters
from operations.doctor import machine, references, room, route
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.pulumi import Json, Pulumi
from operations.store_checks import kubernetes_objects

REACHED: Final = Check("cluster", "the cluster")


def lines(pulumi: Pulumi, say: Callable[[str], None]) -> Iterator[Line]:
    """Check everything that can be checked. A failed check ends only those that need its subject."""
    own = list(machine.lines(pulumi))
    yield from own
    say("asking the cluster ...")
    try:
        cluster = Cluster.of(pulumi)
        yield from clusters.reachable(cluster)
        cluster_identity.check(pulumi)
    except OperationError as error:
        yield REACHED.failed(str(error), "set langfuse:cluster.context, or KUBECONFIG")
        return
    if any(one.outcome == "failed" for one in own):
        yield machine.PREVIEW.skipped("the lines above come first")
        return
    say(f"previewing {pulumi.stack} ...")
    previewed, by_urn = machine.preview(pulumi)
    yield from previewed
    if objects := kubernetes_objects(by_urn.values()):
        say("comparing it with the cluster ...")
        yield from _compared(cluster, objects, requests(by_urn))


def _compared(cluster: Cluster, objects: list[Json], total: Requests) -> Iterator[Line]:
    namespace = next(item["metadata"]["namespace"] for item in objects if item["kind"] == "Job")
    yield from clusters.kinds(cluster, objects)
    yield from clusters.permissions(cluster, objects, namespace)
    yield from references.storage(cluster, objects)
    yield from references.webhooks(cluster, objects, namespace)
    yield from room.nodes(cluster, objects, namespace)
    yield from room.quotas(cluster, objects, total, namespace)
    yield from references.secrets(cluster, objects)
    yield from references.admission(cluster, objects, namespace)
    yield from route.gateways(cluster, objects)
    yield from route.hosts(sorted({*hosts(objects)}))


def hosts(objects: list[Json]) -> Iterator[str]:
    """The public hosts of the routes."""
    for item in objects:
        spec: Mapping[str, Any] = item.get("spec") or {}
        match item["kind"]:
            case "VirtualService":
                yield from spec["hosts"]
            case "HTTPRoute":
                yield from spec.get("hostnames", ())
            case "Ingress":
                yield from (rule["host"] for rule in spec["rules"] if "host" in rule)
