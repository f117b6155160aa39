"""The objects of a deployed stack, read from the API server without Pulumi."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from kubernetes import config
from kubernetes.client import ApiClient

from sandbox.controlplane import Sandbox
from tests.engine.harness import Result
from tests.waiting import eventually

TIMEOUT_SECONDS: Final = 60.0
OK: Final = 200
NAME_LABEL: Final = "app.kubernetes.io/name"
USER_NAMES: Final = ("/access-key-id", "/username")

LISTED: Final = {
    "/api/v1": (
        *("configmaps", "limitranges", "persistentvolumeclaims", "pods", "resourcequotas", "secrets"),
        *("serviceaccounts", "services"),
    ),
    "/apis/apps/v1": ("deployments", "statefulsets"),
    "/apis/batch/v1": ("cronjobs", "jobs"),
    "/apis/networking.istio.io/v1": ("virtualservices",),
    "/apis/networking.k8s.io/v1": ("networkpolicies",),
    "/apis/policy/v1": ("poddisruptionbudgets",),
    "/apis/security.istio.io/v1": ("authorizationpolicies", "peerauthentications"),
}
"""API paths of kinds that tests read often: `kubectl` takes a tenth of a second of CPU time per call."""

CLUSTER_SCOPED: Final = {"namespaces", "nodes", "persistentvolumes"}

Json = dict[str, Any]  # a Kubernetes object of any kind


@dataclass(frozen=True)
class View:
    """The objects of a namespace."""

    sandbox: Sandbox
    namespace: str

    def kubectl(self, *words: str, stdin: str = "") -> Result:
        """Run kubectl."""
        done = subprocess.run(
            [self.sandbox.folder.bin / "kubectl", *words],
            env=self.sandbox.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(("kubectl", *words), done.returncode, done.stdout, done.stderr)

    def delete(self) -> None:
        """Delete the namespace, if it exists, without waiting for its objects."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found").ok()

    def objects(self, *kinds: str) -> list[Json]:
        """All objects of these kinds in the namespace."""
        return [item for kind in kinds for item in self._listed(kind)]

    def _listed(self, kind: str) -> list[Json]:
        api = _api_of(kind)
        if api is None:
            printed = self.kubectl("get", "--namespace", self.namespace, kind, "--output=json").ok().stdout
            items: list[Json] = json.loads(printed)["items"]
            return items
        found = self._read(f"{api}/namespaces/{self.namespace}/{kind}")
        return [{**item, "kind": found["kind"].removesuffix("List")} for item in found["items"]]

    def get(self, kind: str, name: str) -> Json:
        """One object of the namespace, or of the cluster."""
        kinds = f"{kind.lower()}s"
        if kinds in CLUSTER_SCOPED:
            return self._read(f"/api/v1/{kinds}/{name}")
        api = _api_of(kinds)
        if api is None:
            printed = self.kubectl("get", "--namespace", self.namespace, kind, name, "--output=json").ok().stdout
            found: Json = json.loads(printed)
            return found
        return self._read(f"{api}/namespaces/{self.namespace}/{kinds}/{name}")

    def _read(self, path: str) -> Json:
        client = connect(self.sandbox.environment()["KUBECONFIG"])
        answer = client.call_api("GET", f"{client.configuration.host}{path}", {"Accept": "application/json"})
        found: Json = json.loads(answer.read())  # type: ignore[no-untyped-call]  # has no types
        assert answer.status == OK, found["message"]
        return found

    def patch(self, kind: str, name: str, change: Json, *, manager: str) -> None:
        """Change an object outside Pulumi, as a field manager."""
        self.kubectl(
            *("patch", "--namespace", self.namespace, kind, name, "--type=merge"),
            *(f"--patch={json.dumps(change)}", f"--field-manager={manager}"),
        ).ok()

    def identities(self, *kinds: str) -> dict[str, tuple[str, object]]:
        """The uid and generation of each object, which change when it is replaced or its spec changes."""
        return {
            f"{item['kind']}/{item['metadata']['name']}": (
                item["metadata"]["uid"],
                item["spec"] if "status" in item else item["metadata"]["resourceVersion"],
            )
            for item in self.objects(*kinds)
        }

    def pods(self) -> dict[str, frozenset[str]]:
        """The uids of the pods of each workload, once no pod of a former template is left."""
        wanted = {
            item["metadata"]["labels"][NAME_LABEL]: item["spec"]["replicas"]
            for item in self.objects("deployments", "statefulsets")
        }
        found: dict[str, frozenset[str]] = {}

        def settled() -> bool:
            live: dict[str, set[str]] = {name: set() for name in wanted}
            for pod in self.objects("pods"):
                name = pod["metadata"]["labels"][NAME_LABEL]
                if name in wanted:
                    live[name].add(pod["metadata"]["uid"])
            found.update({name: frozenset(uids) for name, uids in live.items()})
            return {name: len(uids) for name, uids in live.items()} == wanted

        eventually(settled)
        return found

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Name and uid of the Job of each workload. Fails if a workload has two."""
        jobs = [job for job in self.objects("jobs") if "ownerReferences" not in job["metadata"]]
        found = {
            job["metadata"]["labels"][NAME_LABEL]: (job["metadata"]["name"], job["metadata"]["uid"]) for job in jobs
        }
        assert len(found) == len(jobs), [job["metadata"]["name"] for job in jobs]
        return found

    def generated(self) -> dict[str, str]:
        """Every value in the Secrets of the namespace except user names, by Secret and key."""
        return {key: value for key, value in self._secrets() if not key.endswith(USER_NAMES)}

    def digests(self) -> dict[str, str]:
        """The hashes of these values, which a failing assertion may show."""
        return {key: hashlib.sha256(value.encode()).hexdigest() for key, value in self.generated().items()}

    def user_names(self) -> list[str]:
        """The user names in the Secrets, which are not secret."""
        return [value for key, value in self._secrets() if key.endswith(USER_NAMES)]

    def _secrets(self) -> list[tuple[str, str]]:
        return [
            (f"{secret['metadata']['name']}/{key}", base64.b64decode(value).decode())
            for secret in self.objects("secrets")
            for key, value in secret["data"].items()
        ]

    def readers(self, secret: str) -> set[str]:
        """The workloads whose pods refer to a Secret."""
        return {
            item["metadata"]["labels"][NAME_LABEL]
            for item in self.objects("deployments", "statefulsets")
            if f'"{secret}"' in json.dumps(item["spec"]["template"]["spec"])
        }

    def mounted(self, pod: Json, volume: str) -> Json:
        """The data of the ConfigMap behind a volume of a pod or a pod template."""
        (name,) = (item["configMap"]["name"] for item in pod["spec"]["volumes"] if item["name"] == volume)
        data: Json = self.get("configmap", name)["data"]
        return data


def _api_of(kinds: str) -> str | None:
    """The API path of a kind that is read without kubectl."""
    return next((path for path, known in LISTED.items() if kinds in known), None)


@cache
def connect(kubeconfig: str) -> ApiClient:
    """The client for a kubeconfig, shared by all callers."""
    return config.new_client_from_config(kubeconfig)  # type: ignore[no-untyped-call,no-any-return]  # has no types


def conditions(item: Json) -> dict[str, str]:
    """The status of each condition of an object."""
    return {condition["type"]: condition["status"] for condition in item["status"].get("conditions", [])}


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """The keys whose values differ, or that only one mapping has."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
