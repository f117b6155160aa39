"""The shapes of an installation on the real node: the stacks of this checkout, which request little of the machine.

A shape has the modes, replicas and protection of its profile. Only its requests, limits and volumes are smaller, so
that it fits on one node with two CPUs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sandbox import images
from sandbox.cache import exclusive
from sandbox.controlplane import Sandbox
from sandbox.images import catalog
from tests.engine.harness import Result
from tests.engine.kube import wait
from tests.engine.stacks import Stack, operate
from tests.engine.view import Json, View, conditions
from tests.node.containers import restarts
from tests.waiting import eventually

UP_SECONDS: Final = 900.0  # dev needs 60 s on an idle machine with two cores, prod three times as long
OPERATION_SECONDS: Final = 1200.0
READY_SECONDS: Final = 600.0  # a busy machine
COMPLAINT: Final = re.compile(r"read-only file ?system|EROFS|permission denied|EACCES|operation not permitted", re.I)


def _resources(memory: str, cpu_limit: str = "2") -> dict[str, object]:
    """Resources of a pod. The request of CPU time is small, because the node has two CPUs for everything."""
    return {"cpu": "10m", "cpuLimit": cpu_limit, "memory": memory}


SMALL: Final[Mapping[str, object]] = {
    "langfuse:scale": "small",
    "langfuse:web": {"resources": _resources("1Gi")},
    "langfuse:worker": {"resources": _resources("1Gi")},
    "langfuse:postgres": {"storage": "1Gi", "resources": _resources("512Mi")},
    "langfuse:clickhouse": {
        "storage": "2Gi",
        "keeperStorage": "1Gi",
        "resources": _resources("2Gi"),
        "keeperResources": _resources("512Mi"),
    },
    "langfuse:redis": {"storage": "1Gi", "resources": _resources("256Mi")},
    "langfuse:objectStore": {"storage": "2Gi", "resources": _resources("512Mi")},
}
"""What each shape requests instead of the values of its scale. Volumes are sparse files."""

OLD_POSTGRES: Final = "15.14"
"""The release that a test upgrades."""

SHORT_DRAIN: Final[Mapping[str, object]] = {
    "langfuse:extraEnv": {"PROBE_DRAIN_MILLISECONDS": {"value": "15000", "insist": True}},
}
"""How long web serves after SIGTERM, instead of 110 s, so that a rollout takes less time."""

SHORT_GRACE: Final = {"terminationGracePeriodSeconds": 60}
"""How long a worker may take to end, instead of 330 s. Langfuse's takes all of it (seen with 4.16). That of the probe
application does if its connections to Redis were interrupted before."""
TWO_PODS: Final[Mapping[str, object]] = {
    "langfuse:web": {"replicas": 2, "resources": _resources("1Gi")},
    "langfuse:worker": {"replicas": 2, "resources": _resources("1Gi"), **SHORT_GRACE},
}
SHAPES: Final[Mapping[str, Mapping[str, object]]] = {
    "dev": {**SMALL, **SHORT_DRAIN},
    "staging": {**SMALL, **SHORT_DRAIN, "langfuse:worker": {"resources": _resources("1Gi"), **SHORT_GRACE}},
    "prod": {**SMALL, **TWO_PODS, "langfuse:backups": None},
    "openshift": {
        **SMALL,
        **SHORT_DRAIN,
        "langfuse:host": "langfuse.localhost",
        "langfuse:profile": "dev",
        "langfuse:ingress": {"tls": False},
        "langfuse:worker": {"resources": _resources("1Gi"), **SHORT_GRACE},
        "langfuse:cluster": {
            "preset": "openshift",
            "storageClass": "xfs",  # in `openshift.yaml`
            "dns": {"namespaces": ["kube-system"], "ports": [53]},  # of the sandbox
        },
        "langfuse:postgres": {"storage": "1Gi", "resources": _resources("512Mi"), "version": OLD_POSTGRES},
    },
}
"""Each shape's configuration beside its file in `stacks/`, if any. Prod has as many pods of web and worker as its
scale, and no off-site copy, whose bucket is outside of the machine."""


@dataclass(frozen=True)
class Installation:
    """A deployed shape."""

    stack: Stack
    view: View

    @property
    def is_deployed(self) -> bool:
        """Whether its last update succeeded and it was not deleted since."""
        return self._marker.exists()

    @property
    def _marker(self) -> Path:
        return self.stack.folder / "deployed"

    def deploy(self) -> None:
        """Deploy it, unless it is deployed; wait until all its pods are ready."""
        if self.is_deployed:  # with what tests have changed in its configuration: volumes can't shrink
            self.wait_until_ready()
            return
        self.stack.configure(SHAPES[self.stack.name])
        self.stack.up().ok()
        self.wait_until_ready()
        counts = {pod["metadata"]["name"]: restarts(pod) for pod in self.view.objects("pods")}
        self._marker.write_text(json.dumps({pod: found for pod, found in counts.items() if any(found.values())}))

    @property
    def deployed(self) -> str:
        """When all pods of its deployment were ready: UTC in ISO 8601."""
        return datetime.fromtimestamp(self._marker.stat().st_mtime, UTC).isoformat()

    def restarts_of_the_deployment(self) -> Mapping[str, Mapping[str, int]]:
        """How often the containers of each pod were restarted until all were ready for the first time."""
        found: Mapping[str, Mapping[str, int]] = json.loads(self._marker.read_text())
        return found

    def destroy(self) -> None:
        """Delete its resources with `pulumi destroy`."""
        self._marker.unlink(missing_ok=True)
        self.stack.destroy().ok()

    def remove(self) -> None:
        """Delete it with all its data, also if it is protected."""
        self.stack.configure({"langfuse:protect": False})
        self.stack.up().ok()
        self.destroy()
        self.stack.configure({"langfuse:protect": None})

    def operate(self, command: str, *words: str, options: Sequence[str] = ()) -> Result:
        """Run a command of `python -m operations` on the stack."""
        where = ["--stack", self.stack.name, "--config-file", str(self.stack.file)]
        return operate(command, [*words, *where, *options], self.stack.environment, OPERATION_SECONDS)

    def pods(self) -> list[Json]:
        """The pods of Deployments and StatefulSets, which run all the time."""
        owners = {"ReplicaSet", "StatefulSet"}
        return [pod for pod in self.view.objects("pods") if owner(pod) in owners]

    def unready(self) -> list[str]:
        """What is not ready: pods, missing pods, and workloads that the controllers have not looked at."""
        left = [
            f"{item['kind']}/{item['metadata']['name']}"
            for item in self.view.objects("deployments", "statefulsets")
            if item["status"].get("observedGeneration") != item["metadata"]["generation"]
            or item["status"].get("readyReplicas", 0) != item["spec"]["replicas"]
            or item["status"].get("replicas", 0) != item["spec"]["replicas"]
            or item["status"].get("updatedReplicas", 0) != item["spec"]["replicas"]
        ]
        return left + [
            f"Pod/{pod['metadata']['name']}"
            for pod in self.pods()
            if conditions(pod).get("Ready") != "True" or "deletionTimestamp" in pod["metadata"]
        ]

    def complaints(self) -> list[str]:
        """Lines of the pods' logs that tell of a refused write or read."""
        found: list[str] = []
        for pod in self.view.objects("pods"):
            name = pod["metadata"]["name"]
            words = ("logs", "--namespace", self.view.namespace, name, "--all-containers", "--ignore-errors")
            log = self.view.kubectl(*words).stdout
            found += [f"{name}: {line}" for line in log.splitlines() if COMPLAINT.search(line)]
        return found

    def wait_until_ready(self, within: float = READY_SECONDS) -> None:
        """Wait until every pod of every workload is ready and no other pod of them is left."""
        left: list[str] = []

        def ready() -> bool:
            left[:] = self.unready()
            return not left

        try:
            eventually(ready, within=within)
        except AssertionError:
            raise AssertionError(f"after {within:g} s these are not ready: {', '.join(left)}") from None


def owner(pod: Json) -> str | None:
    """The kind of the controller of a pod."""
    return next((str(item["kind"]) for item in pod["metadata"].get("ownerReferences", [])), None)


@contextmanager
def installed(node: Sandbox, shape: str) -> Iterator[Installation]:
    """A shape on a node, deployed by its first user. One file of tests at a time has it, in whichever worker.

    All shapes together request more memory than the node has. So a shape that is still deployed makes room for the
    next one, except in parallel runs, where another worker may use it.
    """
    folder = _folder(node, shape)
    with exclusive(folder.with_name(f"{folder.name}-lock"), wait):
        if "PYTEST_XDIST_WORKER" not in os.environ:
            for other in SHAPES:
                if other != shape and (found := _installation(node, other)) and found.is_deployed:
                    found.remove()
        installation = _installation(node, shape)
        if installation is None:
            Stack.new(shape, folder, node.environment())
            installation = _installation(node, shape)
        assert installation
        installation.deploy()
        yield installation


def _folder(node: Sandbox, shape: str) -> Path:
    return node.folder.path.with_name(f"{node.folder.path.name}-{shape}")


def _installation(node: Sandbox, shape: str) -> Installation | None:
    """A shape on a node, deployed or not; None if its stack does not exist."""
    stack = Stack(shape, _folder(node, shape), node.environment())
    stack.timeout_seconds = UP_SECONDS
    return Installation(stack, View(node, f"langfuse-{shape}")) if stack.file.exists() else None


def ensure_images() -> None:
    """Make the images of the shapes that are missing, which takes minutes. Otherwise pods would wait for them."""
    images.ensure(catalog.DEFAULTS)
