"""Sums what the objects of a stack request of their cluster: steady-state pods and volumes, without Jobs.

In a preview a value, or a whole map, can be unknown. Events have a text in its place, which counts nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from components.schema.requests import Requests
from components.schema.values import quantity_value
from operations.changes.events import Json
from operations.changes.model import type_of

Value = Any  # of any shape: an object of Kubernetes, or a part of one


def requests(objects: Mapping[str, Json]) -> Requests:
    """The sum over objects by URN. An autoscaled workload counts with its maximum of pods."""
    most = dict(_autoscaled(objects))
    claims = {_name(item): item for urn, item in objects.items() if _is(urn, "core", "PersistentVolumeClaim")}
    total = Requests(storage=_sum(map(_volume, claims.values())))
    for urn, item in objects.items():
        if _is(urn, "apps", "Deployment"):
            total += _pod(item) * most.get(_name(item), _number(_at(item, "spec", "replicas")))
        elif _is(urn, "apps", "StatefulSet"):
            replicas = _number(_at(item, "spec", "replicas"))
            total += _pod(item) * replicas + Requests(storage=_sum(_own_volumes(item, replicas, claims)))
        elif _is(urn, "postgresql.cnpg.io", "Cluster"):
            total += _cluster(item)
    return total


def _is(urn: str, group: str, kind: str) -> bool:
    package, _, rest = type_of(urn).partition(":")
    return package == "kubernetes" and rest.startswith(f"{group}/") and rest.endswith(f":{kind}")


def _autoscaled(objects: Mapping[str, Json]) -> Iterator[tuple[str, int]]:
    for urn, item in objects.items():
        target = str(_at(item, "spec", "scaleTargetRef", "name"))
        if _is(urn, "autoscaling", "HorizontalPodAutoscaler"):
            yield target, _number(_at(item, "spec", "maxReplicas"))
        elif _is(urn, "keda.sh", "ScaledObject"):
            yield target, _number(_at(item, "spec", "maxReplicaCount"), default=100)  # KEDA's default


def _pod(item: Value) -> Requests:
    return pod_requests(_at(item, "spec", "template", "spec"))


def pod_requests(spec: Value) -> Requests:
    """What a pod requests while it runs: its containers and sidecars."""
    containers, initial = (_list(_at(spec, key)) for key in ("containers", "initContainers"))
    sidecars = [one for one in initial if _at(one, "restartPolicy") == "Always"]
    return sum(map(_resources, [*containers, *sidecars]), start=Requests())


def _resources(holder: Value) -> Requests:
    requested, limits = (_at(holder, "resources", key) for key in ("requests", "limits"))
    return Requests(
        cpu=_quantity(_at(requested, "cpu")),
        cpu_limit=_quantity(_at(limits, "cpu")),
        memory=_quantity(_at(requested, "memory")),
    )


def _own_volumes(item: Value, replicas: int, claims: Mapping[str, Json]) -> Iterator[Decimal]:
    """The volumes that a StatefulSet creates, without those whose claims are objects of the stack."""
    first = _number(_at(item, "spec", "ordinals", "start"), default=0)
    for template in _list(_at(item, "spec", "volumeClaimTemplates")):
        for ordinal in range(first, first + replicas):
            if f"{_name(template)}-{_name(item)}-{ordinal}" not in claims:
                yield _volume(template)


def _cluster(item: Value) -> Requests:
    """A Cluster of CloudNativePG (cloudnative-pg.io/documentation/current/cloudnative-pg.v1)."""
    sizes = (_quantity(_at(item, "spec", key, "size")) for key in ("storage", "walStorage"))
    each = _resources(_at(item, "spec")) + Requests(storage=_sum(sizes))
    return each * _number(_at(item, "spec", "instances"))


def _volume(claim: Value) -> Decimal:
    return _quantity(_at(claim, "spec", "resources", "requests", "storage"))


def _name(item: Value) -> str:
    return str(_at(item, "metadata", "name"))


def _at(value: Value, *path: str) -> Value:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _number(value: Value, default: int = 1) -> int:
    return int(value) if isinstance(value, int | float) else default


def _quantity(value: Value) -> Decimal:
    try:
        return quantity_value(str(value))
    except ValueError:
        return Decimal()


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, start=Decimal())
