"""An update that is killed during the migration: two migrations never run at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.matrix import small
from tests.engine.stacks import Stack
from tests.engine.view import NAME_LABEL, Json, View, conditions
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.sandbox, pytest.mark.timeout(600)]

JOB: Final = "langfuse-migrations"
HELD: Final = {
    "kind": "Job",
    "name": JOB,
    "patch": {"spec": {"template": {"spec": {"schedulingGates": [{"name": "example.com/held"}]}}}},
}
"""The pod of the migration waits for `release`, which simulates a long migration."""
GRACE: Final = "example.com/grace-period"
"""A finalizer: a deleted pod exists until it is removed, like a pod in its grace period."""
ENDED: Final = {"Succeeded", "Failed"}
START_SECONDS: Final = 180

Migrating: TypeAlias = "Callable[[str], tuple[Stack, View]]"


def pods_of_migrations(view: View) -> list[Json]:
    """The pods of migrations, the ended ones too."""
    return [pod for pod in view.objects("pods") if pod["metadata"]["labels"].get(NAME_LABEL) == "migrations"]


def migrators(view: View) -> list[Json]:
    """The running pods of migrations."""
    return [pod for pod in pods_of_migrations(view) if pod["status"]["phase"] not in ENDED]


class Migrators:
    """Counts the running pods of migrations several times per second."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> Migrators:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.25):
            self.most = max(self.most, len(migrators(self._view)))


def patch_pod(view: View, pod: Json, path: str, value: object) -> None:
    change = [{"op": "add", "path": path, "value": value}]
    words = ("pod", pod["metadata"]["name"], "--type=json", f"--patch={json.dumps(change)}")
    view.kubectl("patch", "--namespace", view.namespace, *words).ok()


def release(view: View) -> None:
    """Let the waiting migration continue."""
    (pod,) = migrators(view)
    patch_pod(view, pod, "/spec/schedulingGates", [])


def update_until_it_migrates(stack: Stack, view: View) -> subprocess.Popen[str]:
    """Start an update, and return once its migration runs and nothing else is being created."""
    before = {pod["metadata"]["uid"] for pod in migrators(view)}
    process = stack.start_up()
    try:
        eventually(lambda: bool({pod["metadata"]["uid"] for pod in migrators(view)} - before), within=START_SECONDS)
        eventually(lambda: len(stack.pending()) == 1, within=START_SECONDS, ignoring=(json.JSONDecodeError,))
    except BaseException:
        end(process, signal.SIGKILL)
        raise
    return process


def end(process: subprocess.Popen[str], by: signal.Signals) -> str:
    """End the CLI and its child processes by a signal."""
    os.killpg(process.pid, by)
    printed, _ = process.communicate(timeout=60)
    return printed


def let_it_finish(process: subprocess.Popen[str], view: View) -> None:
    release(view)
    printed, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0, printed


def assert_clean(stack: Stack, view: View) -> None:
    """Assert that one migration finished, the application is available, and an update changes nothing."""
    jobs = [job for job in view.objects("jobs") if job["metadata"]["labels"][NAME_LABEL] == "migrations"]
    assert [(job["metadata"]["name"], conditions(job)["Complete"]) for job in jobs] == [(JOB, "True")]
    assert stack.pending() == []
    for item in view.objects("deployments"):
        assert conditions(item)["Available"] == "True"
    stack.preview("--expect-no-changes").ok()


def remove_unknown_job(stack: Stack, view: View) -> None:
    """Delete the Job that is not in the state, and remove its pending operation."""
    view.kubectl("delete", "--namespace", view.namespace, "--cascade=foreground", f"job/{JOB}").ok()
    stack.refresh("--yes", "--skip-preview", "--clear-pending-creates").ok()


@pytest.fixture
def migrating(sandbox: Sandbox, tmp_path: Path) -> Iterator[Migrating]:
    """Creates stacks whose migrations wait, and deletes their namespaces at the end."""
    made: list[View] = []

    def make(name: str) -> tuple[Stack, View]:
        config = {**small(), "langfuse:patches": [HELD]}
        made.append(View(sandbox, f"langfuse-{name}"))
        return Stack.new(name, tmp_path / name, sandbox.environment(), config), made[-1]

    yield make
    for view in made:
        view.delete()


def test_after_a_killed_update_no_second_migration_starts(migrating: Migrating) -> None:
    """The API server refuses a second Job of the same name, in a first update and in an upgrade."""
    stack, view = migrating("migrating")
    with Migrators(view) as seen:
        for version in ("4.16.0", "4.16.1"):
            stack.configure({"langfuse:version": version})
            end(update_until_it_migrates(stack, view), signal.SIGKILL)
            stack.pulumi("cancel", "--yes").ok()  # the lock of the killed process

            again = stack.up()

            assert again.exit_code != 0
            assert f'jobs.batch "{JOB}" already exists' in again.output
            assert len(migrators(view)) == 1
            remove_unknown_job(stack, view)
            let_it_finish(update_until_it_migrates(stack, view), view)
            assert_clean(stack, view)
    assert seen.most == 1


def test_a_replaced_migration_is_deleted_before_the_next_starts(migrating: Migrating) -> None:
    stack, view = migrating("cancelled")
    with Migrators(view) as seen:
        end(update_until_it_migrates(stack, view), signal.SIGINT)
        (first,) = migrators(view)
        patch_pod(view, first, "/metadata/finalizers/-", GRACE)

        process = stack.start_up()
        try:
            # The collector of garbage sets the phase of a deleted pod without a node to Failed (podgc, every 20 s).
            eventually(lambda: "deletionTimestamp" in pods_of_migrations(view)[0]["metadata"])
            time.sleep(5)
            (held,) = pods_of_migrations(view)
            assert held["metadata"]["uid"] == first["metadata"]["uid"]
            kept = [name for name in held["metadata"]["finalizers"] if name != GRACE]
            patch_pod(view, first, "/metadata/finalizers", kept)
            eventually(lambda: held["metadata"]["uid"] not in {p["metadata"]["uid"] for p in pods_of_migrations(view)})
            eventually(lambda: len(migrators(view)) == 1)
        except BaseException:
            end(process, signal.SIGKILL)
            raise
        let_it_finish(process, view)
        assert_clean(stack, view)
    assert seen.most == 1
