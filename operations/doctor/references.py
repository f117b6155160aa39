"""Checks of what a stack refers to and does not create: Secrets, StorageClasses, webhooks, and who refuses pods."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

import pulumi

from components.admission import CONTROLLERS, Admission
from components.schema.selectors import selects
from components.storage_classes import DEFAULT, KINDS, classes_of
from operations.cluster import Cluster
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Json
from operations.sources import IDENTITY

STORAGE: Final = Check("cluster", "storage classes")
WEBHOOKS: Final = Check("cluster", "webhooks")
SECRETS: Final = Check("stack", "secrets")
ADMISSION: Final = Check("stack", "admission of pods")

MAKERS: Final = ("Secret", "ExternalSecret", "Certificate")
"""Kinds of objects of which a Secret comes into being."""

CONFIGURATIONS: Final = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def storage(cluster: Cluster, objects: Iterable[Json]) -> Iterator[Line]:
    """Whether the StorageClass of each volume exists, and keeps and expands volumes."""
    try:
        found = cluster.items("storage.k8s.io/v1", "StorageClass")
    except OperationError as error:
        yield STORAGE.skipped(str(error))
        return
    by_name = {one["metadata"]["name"]: one for one in found}
    default = next((one for one in found if _is_default(one)), None)
    wanted = {name for item in objects if item["kind"] in KINDS for name in classes_of(item["kind"], item)}
    known = ", ".join(sorted(by_name)) or "none"
    for name in sorted(wanted, key=str):
        one = default if name is None else by_name.get(name)
        title = "the default StorageClass" if name is None else f"StorageClass {name}"
        if one is None:
            yield STORAGE.failed(f"{title} does not exist", f"set langfuse:cluster.storageClass to one of: {known}")
        else:
            yield _class(one, title)


def _class(found: Json, title: str) -> Line:
    name = found["metadata"]["name"]
    title = title if name in title else f"{title}, {name}"
    lacks = []
    if not found.get("allowVolumeExpansion"):
        lacks.append("volumes can't grow (allowVolumeExpansion)")
    if found.get("reclaimPolicy", "Delete") != "Retain":
        lacks.append("a deleted claim deletes its data (reclaimPolicy)")
    if found.get("volumeBindingMode") != "WaitForFirstConsumer":
        lacks.append("volumes may be in another zone than their pods (volumeBindingMode)")
    if not lacks:
        return STORAGE.ok(f"{title}: expands and retains")
    fix = "for production, set langfuse:cluster.storageClass to a class that encrypts, expands and retains"
    return STORAGE.warning(f"{title}: {'; '.join(lacks)}", fix)


def _is_default(found: Json) -> bool:
    annotations = found["metadata"].get("annotations") or {}
    return any(annotations.get(key) == "true" for key in DEFAULT)


def secrets(cluster: Cluster, objects: Sequence[Json]) -> Iterator[Line]:
    """Whether the Secrets exist that pods read and that the stack does not create."""
    found = [*_missing(cluster, objects), *_left(cluster, objects)]
    yield from found
    if not found:
        yield SECRETS.ok("every Secret that pods read exists, or the stack creates it")


def _missing(cluster: Cluster, objects: Sequence[Json]) -> Iterator[Line]:
    made = {(item["metadata"].get("namespace"), _target(item)) for item in objects if item["kind"] in MAKERS}
    needed: dict[tuple[str, str], set[str]] = {}
    blocking: set[tuple[str, str]] = set()
    for item in objects:
        for name, key in _read(item):
            secret = (item["metadata"].get("namespace", ""), name)
            if secret not in made:
                needed.setdefault(secret, set()).add(key)
                blocking |= set() if item["kind"] == "CronJob" else {secret}
    for (namespace, name), keys in sorted(needed.items()):
        try:
            found = cluster.get(named_object("v1", "Secret", name, namespace))
        except OperationError as error:
            yield SECRETS.skipped(f"Secret {name} in namespace {namespace}: {error}")
            continue
        lacks = ", ".join(sorted(keys - {*((found or {}).get("data") or {})}))
        if lacks:
            has = "does not exist" if found is None else "exists"
            fix = f"add {lacks} to Secret {name}, or change the key of the stack file that names it"
            report = SECRETS.failed if (namespace, name) in blocking else SECRETS.warning
            yield report(f"Secret {name} in namespace {namespace} {has}; pods read {lacks} from it", fix)


def _left(cluster: Cluster, objects: Sequence[Json]) -> Iterator[Line]:
    """Private keys of encrypted copies that nobody has removed after a restore."""
    readers = [item for item in objects if item["kind"] == "CronJob" and IDENTITY in json.dumps(item)]
    for namespace in sorted({item["metadata"].get("namespace", "") for item in readers}):
        with suppress(OperationError):
            if cluster.get(named_object("v1", "Secret", IDENTITY, namespace)) is not None:
                fix = f"unless a restore runs, remove it: kubectl -n {namespace} delete secret {IDENTITY}"
                yield SECRETS.warning(f"Secret {IDENTITY} has the private key of the off-site copies", fix)


def _target(item: Json) -> str:
    """The Secret that an object is, or that an operator makes of it."""
    spec = item.get("spec") or {}
    name = spec.get("secretName") or (spec.get("target") or {}).get("name") or item["metadata"]["name"]
    return str(name)


def _read(value: object) -> Iterator[tuple[str, str]]:
    """The Secrets and keys that the containers of an object read, wherever they are in it."""
    if isinstance(value, Mapping):
        reference = value.get("secretKeyRef")
        if isinstance(reference, Mapping) and not reference.get("optional"):
            yield str(reference["name"]), str(reference["key"])
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _read(one)


def webhooks(cluster: Cluster, objects: Iterable[Json], namespace: str) -> Iterator[Line]:
    """Whether a webhook that must answer before a pod is created has somebody who answers."""
    where = named_object("v1", "Namespace", namespace)
    made = next((item for item in objects if item["kind"] == "Namespace"), where)
    try:
        live = cluster.get(where) or made
        labels = {**(live["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": namespace}
        found = [one for kind in CONFIGURATIONS for one in cluster.items("admissionregistration.k8s.io/v1", kind)]
        for configuration in found:
            for hook in configuration.get("webhooks") or ():
                service = hook["clientConfig"].get("service")
                if service and _must_admit(hook, labels) and not _answers(cluster, service):
                    name = f"{configuration['kind']} {configuration['metadata']['name']}"
                    asked = f"{service['namespace']}/{service['name']}"
                    yield WEBHOOKS.failed(
                        f"{name} must admit pods, and its Service {asked} has no ready pod",
                        f"start it, or exclude the namespace {namespace} from it",
                    )
    except OperationError as error:
        yield WEBHOOKS.skipped(str(error))


def _must_admit(hook: Json, labels: Mapping[str, str]) -> bool:
    """Whether pods of a namespace with these labels are not created without an answer of the webhook."""
    rules = hook.get("rules") or ()
    sees_pods = any({"pods", "*", "*/*"} & {*rule.get("resources", ())} for rule in rules)
    required = hook.get("failurePolicy", "Fail") == "Fail"
    return sees_pods and required and selects(hook.get("namespaceSelector"), labels)


def _answers(cluster: Cluster, service: Json) -> bool:
    label = {"kubernetes.io/service-name": service["name"]}
    slices = cluster.items("discovery.k8s.io/v1", "EndpointSlice", service["namespace"])
    return any(
        (endpoint.get("conditions") or {}).get("ready", True)
        for one in slices
        if label.items() <= (one["metadata"].get("labels") or {}).items()
        for endpoint in one.get("endpoints") or ()
    )


def admission(cluster: Cluster, objects: Iterable[Json], namespace: str) -> Iterator[Line]:
    """Whether the cluster would admit the pod of each workload: the check of an update, which is a dry run."""
    try:
        if cluster.namespace_uid(namespace) is None:
            yield ADMISSION.skipped(f"there is no namespace {namespace} yet, in which the cluster could be asked")
            return
    except OperationError as error:
        yield ADMISSION.skipped(str(error))
        return
    check, refused = Admission(cluster.settings, attempts=1), False
    for item in objects:
        if item["kind"] not in CONTROLLERS:
            continue
        group, _, version = item["apiVersion"].rpartition("/")
        arguments: Any = SimpleNamespace(type=f"kubernetes:{group}/{version}:{item['kind']}", new_inputs=item)
        try:
            check.check(arguments)
        except pulumi.RunError as error:
            refused = True
            reason = str(error).partition("; nothing of it was changed")[0]
            yield ADMISSION.failed(reason, "docs/clusters.md, Pods that the cluster refuses")
    if not refused:
        yield ADMISSION.ok("the cluster admits the pod of every workload")
