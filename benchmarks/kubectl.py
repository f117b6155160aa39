"""The baseline: applies the same objects with `kubectl apply --server-side` and waits until they are ready."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.commands import Cost, run
from benchmarks.state import Json, identity

WAIT = "--timeout=300s"


class Kubectl:
    """Deploys objects to one namespace with kubectl."""

    def __init__(self, folder: Path, namespace: str, environment: Mapping[str, str]) -> None:
        """`folder` is the working directory."""
        self._folder = folder
        self._namespace = namespace
        self._environment = environment

    def apply(self, manifests: Sequence[Json], *, before: Sequence[Json] = ()) -> Cost:
        """Apply objects, delete those that are only in `before`, and wait for Pods and Jobs.

        A Job's template is immutable, so changed Jobs are deleted first.
        """
        kept = {identity(manifest) for manifest in manifests}
        removed = [identity(manifest) for manifest in before if identity(manifest) not in kept]
        changed = [
            identity(manifest)
            for manifest in before
            if manifest["kind"] == "Job" and identity(manifest) in kept and manifest not in manifests
        ]
        costs = []
        if changed:
            costs.append(self._kubectl("delete", "--wait", *(f"{kind}/{name}" for kind, name in changed)))
        # They include Secrets, which must not be in a file or on a command line.
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        costs.append(self._kubectl("apply", "--server-side", "-f", "-", stdin=content))
        if removed:
            costs.append(self._kubectl("delete", "--wait=false", *(f"{kind}/{name}" for kind, name in removed)))
        costs.append(self._kubectl("rollout", "status", "statefulset,deployment", WAIT))
        costs.append(self._kubectl("wait", "--for=condition=complete", "job", "--all", WAIT))
        return Cost(sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs))

    def delete(self) -> Cost:
        """Delete the namespace with all its objects and wait until it no longer exists."""
        return self._kubectl("delete", "namespace", self._namespace, "--wait", WAIT)

    def _kubectl(self, *arguments: str, stdin: str = "") -> Cost:
        words = ("kubectl", "--namespace", self._namespace, *arguments)
        return run(words, folder=self._folder, environment=self._environment, stdin=stdin).cost
