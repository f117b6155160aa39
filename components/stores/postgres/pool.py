"""How many connections to Postgres each pod of the application opens: its pool, from what the server allows.

Prisma's default is twice the cores of the *node* plus one (prisma.io/docs/orm/prisma-client/setup-and-configuration/
databases-connections/connection-pool): on nodes with 16 cores, 14 pods open 462 connections, also if each may use two
cores.
"""

from typing import Final

from components.schema.environment import Settings
from components.schema.workloads import Workload

LARGEST_POOL: Final = 10
"""Connections of a pod. Prisma opens as many on a node with five cores. A pod has more requests and jobs at a time, but
most wait for ClickHouse, Redis or the object store."""

SMALLEST_POOL: Final = 3
"""Prisma's default on a node with one core. With fewer, an interactive transaction blocks other requests of the pod."""

RESERVED: Final = 16
"""For superusers (`superuser_reserved_connections`: 3), the migration (two at a time), a dump, an operator of the
cluster, and people with psql."""


def client_pods(settings: Settings) -> int:
    """The most pods that are connected at a time, with the first start.

    During an update all former pods may still drain while all new ones run. A pod that drains keeps its connections.
    """
    return 2 * sum(map(most_replicas, settings.deployments.values())) + 1


def most_replicas(workload: Workload) -> int:
    """The maximum of an autoscaled workload, or its fixed number of pods."""
    return workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas


def pool_size(settings: Settings, connections: int) -> int:
    """The connections of each pod, of those that the server allows. A check refuses settings with too few."""
    return max(SMALLEST_POOL, min(LARGEST_POOL, (connections - RESERVED) // client_pods(settings)))
