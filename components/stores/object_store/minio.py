"""MinIO servers: their names, addresses, commands, environment and probes. Pure functions."""

from collections.abc import Sequence

from components.kubernetes.files import run_script
from components.kubernetes.installation import Workload
from components.kubernetes.pods import Probe, exec_probe
from components.kubernetes.variables import Environment, PodField
from components.schema.values import quantity_value
from components.stores.contract import SecretRefs
from components.stores.object_store.buckets import STALE_UPLOADS_DAYS
from components.stores.object_store.mode import key_ids

PORT = 9000
REGION = "us-east-1"
"""MinIO's default region."""

READINESS_PATH = "/minio/health/ready"
"""Answers as long as the server listens. The paths that check the cluster wait for absent servers: if one lost its
node, all four could become unready, and the Service with them."""

JOIN_SECONDS = 120
"""How long a new server waits to join the cluster. The others may use its old address for 30 seconds, the default TTL
of CoreDNS, and a new server loads users and buckets before it serves."""

RECONNECT_SECONDS = 30
"""How long a server that has joined waits until all others use its drive. They try to reach it at growing intervals of
up to this time (internal/rest/client.go, runHealthCheck), and no health check shows who has not succeeded yet. If the
next server stopped earlier, reads of objects on three drives would fail with `NoSuchKey`, and writes would fail."""

DNS_CACHE = "5s"
"""How often a server resolves the addresses of the others. MinIO's own default is 30 s (cmd/common-main.go)."""

DRAIN_SECONDS = 10
"""How long a stopping server continues until it gets SIGTERM, on which it exits at once. Meanwhile it is no longer an
endpoint of the Service, and its requests end. Clients that keep a connection open stay with it. Web does not
(`close-connections.cjs`), and the worker repeats its jobs."""

GRACE_SECONDS = 60

PUBLIC_METRICS: Environment = {"MINIO_PROMETHEUS_AUTH_TYPE": "public"}
"""Metrics need no token, which only the administrator's key could sign (cmd/metrics-router.go). They have the names and
sizes of buckets. Network policies and the mesh let Prometheus read them, and no public route leads to their paths."""


def set_name(workload: Workload, nodes: int) -> str:
    """The name of the StatefulSet, and the prefix of its pods and volumes.

    One server can't become four in place, because MinIO spreads the parts of each object over a fixed number of drives.
    The two layouts have different names, so a change of the number never starts servers on volumes of the other layout.
    """
    return workload.resource_name if nodes == 1 else f"{workload.resource_name}-cluster"


def server_address(workload: Workload, nodes: int, server: str) -> str:
    """The address of a server for the others. `server` is its ordinal, or a pattern for several."""
    domain = f"{workload.headless_name}.{workload.installation.namespace}.svc"
    return f"{set_name(workload, nodes)}-{server}.{domain}:{PORT}"


def server_command(workload: Workload, nodes: int) -> Sequence[str]:
    """The command of each server. Four servers get the same list of addresses."""
    if nodes == 1:
        return ["minio", "server", "/data", "--address", f":{PORT}"]
    addresses = server_address(workload, nodes, f"{{0...{nodes - 1}}}")
    return ["minio", "server", f"http://{addresses}/data", "--address", f":{PORT}", "--dns-cache-ttl", DNS_CACHE]


def member_environment(workload: Workload, nodes: int) -> Environment:
    """Additional variables of one of several servers: its own address, and those of all.

    By default MinIO resolves the addresses to find its own. The name of a new pod does not resolve yet, or resolves to
    the former pod, and then the server exits at once. `_MINIO_SERVER_LOCAL` names it instead (cmd/endpoint.go,
    UpdateIsLocal).
    """
    _, _, domain = server_address(workload, nodes, "").partition(".")
    return {
        "POD_NAME": PodField(path="metadata.name"),
        "_MINIO_SERVER_LOCAL": f"$(POD_NAME).{domain}",
        "SERVERS": " ".join(server_address(workload, nodes, str(number)) for number in range(nodes)),
    }


JOIN_ATTEMPTS = 3

START_SECONDS = JOIN_ATTEMPTS * (JOIN_SECONDS + RECONNECT_SECONDS)
"""Time until a server of a cluster is ready, or is restarted."""


def joined_probe() -> Probe:
    """A startup probe that succeeds when the server has joined its cluster."""
    return exec_probe(
        [*run_script("wait-for-cluster.sh"), str(PORT), str(JOIN_SECONDS), str(RECONNECT_SECONDS)],
        period=5,
        failures=JOIN_ATTEMPTS,
        timeout=JOIN_SECONDS + RECONNECT_SECONDS + 30,
    )


def server_environment(refs: SecretRefs, memory: str) -> Environment:
    """The variables of each server.

    Clients need not request encryption (internal/kms/config.go, internal/crypto/auto-encryption.go). Objects that were
    stored before stay as they are, and readable. Users and policies are encrypted as well.

    STALE_UPLOADS_DAYS is a setting of the server: MinIO refuses it as a lifecycle rule
    (internal/bucket/lifecycle/rule.go).
    """
    access_key_id, secret_access_key = key_ids("root")
    return {
        "MINIO_ROOT_USER": refs[access_key_id],
        "MINIO_ROOT_PASSWORD": refs[secret_access_key],
        "MINIO_KMS_SECRET_KEY": refs["object_store_encryption_key"],
        "MINIO_KMS_AUTO_ENCRYPTION": "on",
        "MINIO_API_STALE_UPLOADS_EXPIRY": f"{STALE_UPLOADS_DAYS * 24}h",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        # Go collects garbage more often near this limit, before the kernel ends the process at the container's.
        "GOMEMLIMIT": str(int(quantity_value(memory) * 9 / 10)),
        "HOME": "/tmp",  # noqa: S108  # where it looks for certificates
    }
