"""The floor: the same objects with `kubectl apply --server-side`, and waiting until they are ready."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.commands import Cost, run
from benchmarks.state import Json, identity

WAIT = "--timeout=300s"


class Floor:
    """One namespace and what `kubectl` puts there."""

    def __init__(self, folder: Path, namespace: str, environment: Mapping[str, str]) -> None:
        """`folder` is any folder that exists."""
        self._folder = folder
        self._namespace = namespace
        self._environment = environment

    def apply(self, manifests: Sequence[Json], *, before: Sequence[Json] = ()) -> Cost:
        """Apply objects, delete those of `before` that are no longer among them, and wait for Pods and Jobs."""
        # Secrets are among them: they go through a pipe, never into a file or a command line.
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        costs = [self._kubectl("apply", "--server-side", "-f", "-", stdin=content)]
        kept = {identity(manifest) for manifest in manifests}
        gone = [identity(manifest) for manifest in before if identity(manifest) not in kept]
        if gone:
            costs.append(self._kubectl("delete", "--wait=false", *(f"{kind}/{name}" for kind, name in gone)))
        costs.append(self._kubectl("rollout", "status", "statefulset,deployment", WAIT))
        costs.append(self._kubectl("wait", "--for=condition=complete", "job", "--all", WAIT))
        return Cost(sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs))

    def delete(self) -> Cost:
        """Delete the namespace with all that is in it, and wait until it is gone."""
        return self._kubectl("delete", "namespace", self._namespace, "--wait", WAIT)

    def _kubectl(self, *arguments: str, stdin: str = "") -> Cost:
        words = ("kubectl", "--namespace", self._namespace, *arguments)
        return run(words, folder=self._folder, environment=self._environment, stdin=stdin).cost
