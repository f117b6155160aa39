"""The API server as a judge: does it admit these objects into a namespace that enforces `restricted`?"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

from kubernetes import config, dynamic
from kubernetes.client import ApiException
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from tests.judges.manifests import Manifest
from tests.judges.verdicts import Verdict, of_admission, pod_of_workload

ENFORCE = "pod-security.kubernetes.io/enforce"


def admission(objects: list[Manifest], kubeconfig: Path) -> Iterator[Verdict]:
    """The verdicts of the server. Only a namespace with ServiceAccounts is created, which ends with the cluster.

    Workloads are submitted as pods, because PodSecurity enforces only pods.
    """
    client = dynamic.DynamicClient(config.new_client_from_config(str(kubeconfig)))  # type: ignore[no-untyped-call]
    namespace = f"judged-{uuid.uuid4().hex[:8]}"
    labels = {ENFORCE: "restricted"}
    _create(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}, None)
    for one in objects:  # pods are refused if their ServiceAccount is missing
        if one["kind"] == "ServiceAccount":
            _create(client, _moved(one, namespace), None)
    for one in objects:
        subject = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] != "ServiceAccount":
            yield from of_admission(subject, _create(client, _moved(one, namespace), "All"), is_pod=False)
        if (pod := pod_of_workload(one)) is not None:
            yield from of_admission(subject, _create(client, _moved(pod, namespace), "All"), is_pod=True)


def _moved(manifest: Manifest, namespace: str) -> Manifest:
    moved = copy.deepcopy(manifest)
    if moved["kind"] == "Namespace":
        moved["metadata"]["name"] = f"{namespace}-{moved['metadata']['name']}"[:63].rstrip("-")
    elif "namespace" in moved["metadata"] or moved["kind"] == "Pod":
        moved["metadata"]["namespace"] = namespace
    return moved


def _create(client: dynamic.DynamicClient, manifest: Manifest, dry_run: str | None) -> str | None:
    """Create an object, and return the refusal of the server, if any."""
    options = {"dry_run": dry_run} if dry_run else {}
    try:
        kind = client.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        kind.create(body=manifest, namespace=manifest["metadata"].get("namespace"), **options)
    except ResourceNotFoundError:
        return f"the server knows no {manifest['kind']} of {manifest['apiVersion']}"
    except ApiException as refusal:
        return str(json.loads(refusal.body or "{}").get("message", refusal.reason))
    return None
