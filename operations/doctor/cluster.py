"""Checks of a cluster: that it answers, knows the kinds of a stack's objects, and allows what an update does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from operations.cluster import Cluster, Resource
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.pulumi import Json

VERSION: Final = Check("cluster", "version")
CLOCK: Final = Check("cluster", "clock")
KINDS: Final = Check("cluster", "kinds of objects")
PERMISSIONS: Final = Check("cluster", "permissions")

OLDEST: Final = (1, 30)
"""The README names it. Pods rely on fields that are on by default since then."""

CLOCK_SECONDS: Final = 60
"""Signed requests to an object store are refused after 15 minutes, tokens of service accounts after less."""

SHOWN: Final = 10
"""How many refused permissions a line shows."""

VERBS: Final = ("get", "list", "watch", "create", "patch", "delete")
"""What server-side apply, waiting and deleting need."""

FOLLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": ("apps/replicasets", "/pods", "/persistentvolumeclaims"),
    "StatefulSet": ("/pods",),
    "Job": ("/pods",),
    "Service": ("/endpoints",),
    "Ingress": ("/endpoints", "/services"),
}
"""What the provider watches, by kind, until an object is ready (provider/pkg/await of pulumi-kubernetes)."""

COMMANDS: Final = (
    ("get", "/pods/log", "`operations backup` and `restore` show the logs of their Jobs"),
    ("create", "/pods", "an update asks in a dry run whether the cluster admits its pods"),
    ("patch", "apps/deployments/scale", "`operations restore` stops web and worker"),
    ("list", "/events", "an update that fails says why"),
)
"""What single commands need: verb, resource, and what does not work without it."""

ADD_ONS: Final[Mapping[str, str]] = {
    "networking.istio.io": "Istio",
    "security.istio.io": "Istio",
    "gateway.networking.k8s.io": "the Gateway API",
    "cert-manager.io": "cert-manager",
    "postgresql.cnpg.io": "CloudNativePG",
    "barmancloud.cnpg.io": "the Barman Cloud plugin of CloudNativePG",
    "external-secrets.io": "the External Secrets Operator",
    "keda.sh": "KEDA",
    "monitoring.coreos.com": "the Prometheus Operator",
    "cilium.io": "Cilium",
}


def reachable(cluster: Cluster) -> Iterator[Line]:
    """Whether the API server answers, its version, and its clock.

    Raises:
        OperationError: It does not answer.
    """
    server = cluster.server()
    found = f"Kubernetes {server.version}"
    if (server.major, server.minor) < OLDEST:
        yield VERSION.failed(found, f"use a cluster with Kubernetes {OLDEST[0]}.{OLDEST[1]} or newer")
    else:
        yield VERSION.ok(found)
    if server.clock_seconds is not None:
        ahead = abs(server.clock_seconds)
        detail = f"this machine and the API server differ by {ahead:.0f} s"
        yield CLOCK.ok(detail) if ahead <= CLOCK_SECONDS else CLOCK.failed(detail, "set both clocks by NTP")


def kinds(cluster: Cluster, objects: Iterable[Json]) -> Iterator[Line]:
    """Whether the API server serves the kinds of the objects."""
    missing: dict[str, list[str]] = {}
    for api_version, kind in sorted({(item["apiVersion"], item["kind"]) for item in objects}):
        if cluster.resource(api_version, kind) is None:
            group = api_version.rpartition("/")[0]
            missing.setdefault(ADD_ONS.get(group, f"what serves {api_version}"), []).append(f"{kind} of {api_version}")
    for add_on, names in missing.items():
        yield KINDS.failed(f"the cluster does not serve {', '.join(names)}", f"install {add_on} first")
    if not missing:
        yield KINDS.ok("every kind of the stack is served")


def permissions(cluster: Cluster, objects: Iterable[Json], namespace: str) -> Iterator[Line]:
    """Whether you may do everything that an update does, as `kubectl auth can-i` answers."""
    try:
        refused = sorted(_refused(cluster, objects))
        yield _required(refused)
        for verb, name, reason in COMMANDS:
            if not cluster.allowed(verb, _resource(name), namespace):
                detail = f"you may not {verb} {name.lstrip('/')} in {namespace}: {reason}"
                yield PERMISSIONS.warning(detail, "grant it in a Role of the namespace")
    except OperationError as error:
        yield PERMISSIONS.skipped(str(error))


def _required(refused: Sequence[str]) -> Line:
    if not refused:
        return PERMISSIONS.ok("you may do all that an update does")
    more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    fix = "grant it, or deploy into an existing namespace (docs/runbooks/own-namespace.md)"
    return PERMISSIONS.failed(f"you may not {'; '.join(refused[:SHOWN])}{more}", fix)


def _refused(cluster: Cluster, objects: Iterable[Json]) -> Iterator[str]:
    wanted: dict[tuple[Resource, str], set[str]] = {}
    for item in objects:
        resource = cluster.resource(item["apiVersion"], item["kind"])
        if resource is None:
            continue  # reported by `kinds`
        namespace = item["metadata"].get("namespace", "") if resource.namespaced else ""
        wanted.setdefault((resource, namespace), set()).update(VERBS)
        for name in FOLLOWED.get(item["kind"], ()):
            wanted.setdefault((_resource(name), namespace), set()).update(("get", "list", "watch"))
    for (resource, namespace), verbs in wanted.items():
        refused = [verb for verb in VERBS if verb in verbs and not cluster.allowed(verb, resource, namespace)]
        if refused:
            where = f" in {namespace}" if namespace else ""
            yield f"{', '.join(refused)} {resource.name}{where}"


def _resource(name: str) -> Resource:
    """A resource as `group/plural`, with `/subresource`; an empty group is the core group."""
    group, plural, *sub = name.split("/")
    return Resource(group=group, plural=plural, subresource=sub[0] if sub else "", namespaced=True)
