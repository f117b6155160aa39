"""Commands that are killed at several moments: after `recover` the next command works, and nothing is left over.

A first `up`, an upgrade and a `destroy` are killed twice each, or `KILLS` times, at random moments.
Each attempt continues after the recovery of the one before, as in a pipeline that is cancelled several times.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from components.schema import cluster as settings
from operations.cluster import Cluster
from operations.pulumi import Pulumi
from operations.recovery import pending
from operations.recovery.stack import recover
from sandbox.controlplane import Sandbox
from tests.engine.harness import CHECKOUT, CHECKPOINTS
from tests.engine.matrix import small
from tests.engine.stacks import Stack, changed_resources, drifted
from tests.engine.view import View, conditions
from tests.sampling import chooser
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(1500)]

MOMENTS: Final = int(os.environ.get("KILLS", "2"))
POLL_SECONDS: Final = 0.02
CONFIG: Final = small("managed", credentials="generated", ingress="istio")
"""Half of the resources of dev, with every type (`test_a_small_stack_has_resources_of_every_type`)."""
UPGRADE: Final = {"langfuse:version": "4.82.1", "langfuse:owner": "somebody-else"}
"""Changes a label of every object, and the image of the migration Job."""

KINDS: Final = (
    *("configmaps", "cronjobs", "deployments", "jobs", "limitranges", "networkpolicies", "persistentvolumeclaims"),
    *("poddisruptionbudgets", "resourcequotas", "secrets", "serviceaccounts", "services", "statefulsets"),
    *("authorizationpolicies", "peerauthentications", "virtualservices"),
)
OF_THE_CLUSTER: Final = {"ConfigMap/kube-root-ca.crt", "ConfigMap/istio-ca-root-cert", "ServiceAccount/default"}

CONTENT: Final = re.compile("-[0-9a-f]{8}$")
"""The hash at the end of the name of a ConfigMap."""

Moment = Callable[[], bool]


class Victim:
    """A stack whose commands are killed."""

    def __init__(self, stack: Stack, sandbox: Sandbox) -> None:
        self.stack = stack
        self.namespace = f"langfuse-{stack.name}"
        self.view = View(sandbox, self.namespace)
        self.cluster = Cluster(settings.Cluster(kubeconfig=sandbox.environment()["KUBECONFIG"]))
        self._killed = 0
        self._version: tuple[int, int, int] | None = None
        self._content: dict[str, Any] = {}

    def kill(self, command: str, *moments: Moment) -> None:
        """Start a command, kill it at the moment when all conditions hold, and recover."""
        process = subprocess.Popen(
            [*self.stack._words(command, "--yes", "--skip-preview"), *self.stack._where()],
            cwd=CHECKOUT,
            env=self.stack.environment | CHECKPOINTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not all(moment() for moment in moments):
                assert process.poll() is None, f"`pulumi {command}` ended before its moment came"
                time.sleep(POLL_SECONDS)
        finally:
            self._killed += 1
            end = os.killpg if self._killed % 2 else os.kill  # with its plugins, as in a pipeline, or alone
            end(process.pid, signal.SIGKILL)
            process.wait()
        assert self.recover()
        assert self.stack.pending() == []

    def recover(self) -> bool:
        """Recover as `python -m operations recover` does. Returns whether there was anything to recover."""
        return recover(Pulumi(self.stack.name, self.stack.file), self.stack.printed.append)

    def known(self) -> set[str]:
        """Kind and name of every object of the namespace in the state."""
        ids = [(item["type"].rpartition(":")[2], str(item["id"])) for item in self._resources() if _is_object(item)]
        return {f"{kind}/{name}" for kind, _, name in ((kind, *id_.rpartition("/")[1:]) for kind, id_ in ids)}

    def there(self) -> set[str]:
        """Kind and name of every object of the namespace in the cluster that no controller created."""
        found = {
            f"{item['kind']}/{item['metadata']['name']}"
            for item in self.view.objects(*KINDS)
            if "ownerReferences" not in item["metadata"]
        }
        return found - OF_THE_CLUSTER

    def count(self, holds: Callable[[Mapping[str, Any]], bool] = lambda _: True) -> int:
        """The number of resources in the state that fulfil a condition."""
        return sum(holds(item) for item in self._resources())

    def has_created_an_unknown_object(self) -> bool:
        """Whether an object exists whose creation has not finished in the state."""
        return any(
            operation["type"] == "creating"
            and _is_object(operation["resource"])
            and self.cluster.get(operation["resource"]["inputs"])
            for operation in self._pending()
        )

    def has_pending_operation(self) -> bool:
        """Whether an operation on an object is in progress."""
        return any(_is_object(operation["resource"]) for operation in self._pending())

    def assert_consistent(self, resources: Counter[str]) -> None:
        """Assert that state, cluster and program agree, and that everything is ready."""
        assert _places(str(item["urn"]) for item in self._resources()) == resources
        assert not any(item.get("delete") or item.get("initErrors") for item in self._resources())
        assert self.there() == self.known() - {f"Namespace/{self.namespace}"}
        assert drifted(self.stack.refresh("--yes", "--skip-preview").ok()) == set()
        assert changed_resources(self.stack.preview().ok()) == set()
        for item in self.view.objects("deployments"):
            assert conditions(item)["Available"] == "True"
        for item in self.view.objects("jobs"):
            assert "ownerReferences" in item["metadata"] or conditions(item)["Complete"] == "True"
        self.view.jobs()  # at most one for each workload
        self.view.pods()

    def _resources(self) -> list[dict[str, Any]]:
        return self._state().get("resources") or []

    def _pending(self) -> list[dict[str, Any]]:
        return self._state().get("pending_operations") or []

    def _state(self) -> dict[str, Any]:
        """The state, which the engine may be writing. Moments look often, so an unchanged file is not read again."""
        while True:
            try:
                found = self.stack.state_file.stat()
                version = (found.st_ino, found.st_mtime_ns, found.st_size)
                if version != self._version:
                    self._content, self._version = self.stack.checkpoint(), version
            except (FileNotFoundError, ValueError):
                time.sleep(POLL_SECONDS)
            else:
                return self._content


@pytest.fixture
def victim(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Victim]:
    stack = Stack.new("killed", tmp_path / "killed", sandbox.environment(), CONFIG)
    for key, value in stack.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(pending, "SETTLE_SECONDS", 2.0)
    victim = Victim(stack, sandbox)
    yield victim
    victim.view.delete()


def test_a_stack_can_be_recovered_after_commands_killed_at_any_moment(victim: Victim) -> None:
    resources = _places(step.urn for step in victim.stack.preview().ok().steps)
    total = resources.total()
    chosen = chooser("moments")

    for number, step in enumerate(moments(chosen, total)):
        at = victim.has_pending_operation if number % 2 else victim.has_created_an_unknown_object
        victim.kill("up", _reached(victim.count, step), at)
        assert victim.there() <= victim.known()
    victim.stack.up().ok()
    victim.assert_consistent(resources)

    victim.stack.configure(UPGRADE)
    labelled = victim.count(_has_labels)
    for step in moments(chosen, labelled):
        upgraded = _reached(partial(victim.count, _is_upgraded), step)
        victim.kill("up", upgraded, victim.has_pending_operation)
        assert victim.there() <= victim.known()
    victim.stack.up().ok()
    victim.assert_consistent(resources)
    assert victim.count(_is_upgraded) == victim.count(_has_labels)

    for number, step in enumerate(moments(chosen, total)):
        victim.kill("destroy", _reached(lambda: total - victim.count(), step), victim.has_pending_operation)
        if number == MOMENTS // 2:
            victim.stack.up().ok()
            victim.assert_consistent(resources)
    victim.stack.destroy("--skip-preview").ok()
    assert victim.stack.resources() == []
    eventually(lambda: victim.view.kubectl("get", "namespace", victim.namespace).exit_code != 0)


def test_a_complete_stack_needs_no_recovery(dev: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in dev.environment.items():
        monkeypatch.setenv(key, value)
    before = dev.export()
    assert not recover(Pulumi(dev.name, dev.file), dev.printed.append)
    assert dev.export() == before


def moments(chosen: random.Random, total: int) -> list[int]:
    """A random number of finished steps in each of `MOMENTS` equal parts of a command, in order.

    The last steps are left out: a command might have no operation in progress any more.
    """
    part = total * 0.85 / MOMENTS
    return [int(part * (number + chosen.random())) for number in range(MOMENTS)]


def _reached(count: Callable[[], int], number: int) -> Moment:
    return lambda: count() >= number


def _is_object(item: Mapping[str, Any]) -> bool:
    return str(item["type"]).startswith("kubernetes:")


def _places(urns: Iterable[str]) -> Counter[str]:
    """Types and names of resources, without hashes of content, and without providers, which a preview does not show."""
    places = Counter(CONTENT.sub("", urn.split("::", 2)[2]) for urn in urns)
    return Counter({place: number for place, number in places.items() if not place.startswith("pulumi:providers:")})


def _labels(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (item["inputs"].get("metadata") or {}).get("labels") or {}
    return found


def _has_labels(item: Mapping[str, Any]) -> bool:
    return _is_object(item) and "owner" in _labels(item)


def _is_upgraded(item: Mapping[str, Any]) -> bool:
    return _is_object(item) and _labels(item).get("owner") == UPGRADE["langfuse:owner"]
