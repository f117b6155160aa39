"""What pods and volumes request of a cluster: the one model that the quota, sizing and the report of a preview use."""

import math
from dataclasses import dataclass, fields
from decimal import Decimal

from components.schema.base import Resources
from components.schema.values import quantity_value


def cpu_for_memory(cpu: str, limit: str, memory: str, per_cpu: str | None) -> tuple[str, str]:
    """Request and limit for CPU, raised in steps of 10m if the cluster allows only so much memory for each core."""
    if per_cpu is None:
        return cpu, limit
    needed = 10 * math.ceil(quantity_value(memory) / quantity_value(per_cpu) * 100)
    request = f"{needed}m" if needed > quantity_value(cpu) * 1000 else cpu
    return request, request if quantity_value(request) > quantity_value(limit) else limit


@dataclass(frozen=True, kw_only=True)
class Requests:
    """An amount of each resource. Amounts can be added, and multiplied by a number of replicas."""

    cpu: Decimal = Decimal()
    """Requested cores."""
    cpu_limit: Decimal = Decimal()
    """Cores that may be used."""
    memory: Decimal = Decimal()
    """Requested bytes; containers of this program have the same limit."""
    storage: Decimal = Decimal()
    """Bytes of volumes."""

    @classmethod
    def of(cls, resources: Resources, storage: str = "0") -> "Requests":
        """The requests of one container and its volume."""
        return cls(
            cpu=quantity_value(resources.cpu),
            cpu_limit=quantity_value(resources.cpu_limit),
            memory=quantity_value(resources.memory),
            storage=quantity_value(storage),
        )

    def __add__(self, other: "Requests") -> "Requests":
        """The sum of two amounts."""
        return Requests(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __mul__(self, replicas: int) -> "Requests":
        """The amount for a number of replicas."""
        return Requests(**{one.name: getattr(self, one.name) * replicas for one in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Pods:
    """The pods of one workload, or a sidecar container in the pods of another."""

    name: str
    replicas: int
    sidecar_of: str | None = None
    """The workload whose pods the container runs in. It adds no pods."""
    each: Requests
    """What one replica requests."""

    @property
    def total(self) -> Requests:
        """What all replicas request."""
        return self.each * self.replicas
