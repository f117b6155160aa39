"""Readiness of Services, Ingresses, volumes and other objects without pods."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes.objects import Kind, Object, dig, mapping, name, objects, text
from sandbox.plugins.kubernetes.readiness import MINUTE, READY, Criterion, Verdict, View, waiting

ENDPOINT_SLICE: Final = Kind("discovery.k8s.io", "v1", "EndpointSlice")
STORAGE_CLASS: Final = Kind("storage.k8s.io", "v1", "StorageClass")
SERVICE: Final = Kind("", "v1", "Service")
SERVICE_NAME: Final = "kubernetes.io/service-name"
NO_PODS: Final = (
    "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match labels "
    "on any Pods"
)


def service(live: Object, view: View) -> Verdict:
    """Check a Service: it has its address, and every pod that it selects so far is ready.

    The official provider also waits ten seconds after each change of the endpoints, to include pods that appear later.
    """
    kind = text(live, "spec", "type")
    if kind == "LoadBalancer" and not objects(live, "status", "loadBalancer", "ingress"):
        return waiting(
            "Attempting to allocate IP address to Service",
            "Service was not allocated an IP address; does your cloud provider support this?",
        )
    headless = dig(live, "spec", "clusterIP") == "None"
    if kind == "ExternalName" or headless or not mapping(live, "spec", "selector"):
        return READY
    slices = [item for item in view.all(ENDPOINT_SLICE) if _service_of(item) == name(live)]
    if not slices:
        return waiting("Finding Pods to direct traffic to", NO_PODS)
    pending = [
        endpoint
        for item in slices
        for endpoint in objects(item, "endpoints")
        if mapping(endpoint, "conditions").get("ready") is False
        and mapping(endpoint, "conditions").get("terminating") is not True
    ]
    return waiting("Waiting for Pods to direct traffic to", NO_PODS) if pending else READY


def ingress(live: Object, view: View) -> Verdict:
    """Check an Ingress: it has an address, and the Services that it names exist."""
    known = {name(item) for item in view.all(SERVICE)}
    referenced = {
        text(path, "backend", "service", "name")
        for rule in objects(live, "spec", "rules")
        for path in objects(rule, "http", "paths")
    } - {""}
    missing = sorted(referenced - known)
    if missing:
        return waiting(
            "Finding a matching service for each Ingress path",
            f"Ingress has at least one rule with an unavailable target endpoint: {', '.join(missing)}",
        )
    if not objects(live, "status", "loadBalancer", "ingress"):
        return waiting(
            "Waiting for update of .status.loadBalancer with hostname/IP",
            "Ingress .status.loadBalancer field was not updated with a hostname/IP address",
        )
    return READY


def claim(live: Object, view: View) -> Verdict:
    """Check a PersistentVolumeClaim: it is bound, or its storage class waits for the first consumer."""
    phase, class_name = text(live, "status", "phase"), text(live, "spec", "storageClassName")
    classes = [item for item in view.all(STORAGE_CLASS) if name(item) == class_name]
    lazy = bool(classes) and text(classes[0], "volumeBindingMode") == "WaitForFirstConsumer"
    if phase == "Bound" or (lazy and phase == "Pending"):
        return READY
    return waiting(f"Waiting for PersistentVolumeClaim to be bound (phase: {phase or 'none yet'})")


def volume(live: Object, _view: View) -> Verdict:
    """Check a PersistentVolume: it is available or bound."""
    phase = text(live, "status", "phase")
    return READY if phase in ("Available", "Bound") else waiting(f"Waiting for PersistentVolume (phase: {phase})")


def quota(live: Object, _view: View) -> Verdict:
    """Check a ResourceQuota: the controller enforces its limits."""
    enforced = dig(live, "spec", "hard") == dig(live, "status", "hard")
    return READY if enforced else waiting("Waiting for ResourceQuota to be enforced")


def secret(live: Object, _view: View) -> Verdict:
    """Check a Secret: a controller adds the data of a service account token; others are ready."""
    if text(live, "type") != "kubernetes.io/service-account-token" or mapping(live, "data"):
        return READY
    return waiting("Waiting for the service account token")


CRITERIA: Final = {
    ("", "Service"): Criterion(service, (ENDPOINT_SLICE,)),
    ("networking.k8s.io", "Ingress"): Criterion(ingress, (SERVICE,)),
    ("", "PersistentVolumeClaim"): Criterion(claim, (STORAGE_CLASS,), timeout=5 * MINUTE, on_read=False),
    ("", "PersistentVolume"): Criterion(volume, timeout=5 * MINUTE, on_read=False),
    ("", "ResourceQuota"): Criterion(quota, timeout=MINUTE, on_read=False),
    ("", "Secret"): Criterion(secret, timeout=5.0, on_read=False),
}


def _service_of(endpoint_slice: Object) -> str:
    return text(endpoint_slice, "metadata", "labels", SERVICE_NAME)
