"""Pods that do nothing: strangers, and the networks and labels of workloads that run at times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sandbox.images.cluster import PAUSE
from tests.engine.view import View

Json = dict[str, Any]


def stand_in(name: str, namespace: str, labels: Mapping[str, str]) -> Json:
    """A restricted pod that does nothing, with the labels of another one."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65535,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "pause",
                    "image": PAUSE,
                    "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@contextmanager
def stand_ins(pods: Sequence[Json], view: View) -> Iterator[None]:
    """Pods on the node of a view, with the namespaces that are missing, which stay at the end."""
    names = {pod["metadata"]["namespace"] for pod in pods}
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in names
        if view.kubectl("get", "namespace", name).exit_code
    ]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*namespaces, *pods]})
    by_namespace = {
        name: [f"pod/{pod['metadata']['name']}" for pod in pods if pod["metadata"]["namespace"] == name]
        for name in names
    }
    try:
        view.kubectl("apply", "--filename=-", stdin=items).ok()
        for name, created in by_namespace.items():
            view.kubectl("wait", "--namespace", name, "--for=condition=Ready", "--timeout=55s", *created).ok()
        yield
    finally:
        for name, created in by_namespace.items():
            view.kubectl("delete", "--namespace", name, "--ignore-not-found", *created).ok()
