"""The cluster of the engine's tests, and access to its objects without Pulumi."""

from __future__ import annotations

import os
import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias, cast

import pytest
from kubernetes import dynamic
from kubernetes.client import ApiClient, ApiException

from sandbox.cache import exclusive
from sandbox.controlplane import Sandbox
from sandbox.folder import Kind
from sandbox.services import MEMORY_LIMIT_VARIABLE
from tests.engine.harness import Engine, Json, Program
from tests.engine.stacks import Stack, deploy
from tests.engine.view import connect

CLUSTER_VARIABLE: Final = "TEST_KUBECONFIG"
"""The kubeconfig of a cluster to use. Without it, a sandbox is started for the test run."""
NOT_FOUND: Final = 404
ClusterProgramFactory: TypeAlias = "Callable[[str], ClusterProgram]"


PREAMBLE: Final = """
import pulumi
import pulumi_kubernetes as k8s

def template(app, image="image:1", **spec):
    containers = [{"name": "main", "image": image}]
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers, **spec}}

def meta(name=None, **fields):
    return {"namespace": "NAMESPACE", **({"name": name} if name else {}), **fields}
"""


@dataclass(frozen=True)
class Kube:
    """A running cluster."""

    kubeconfig: Path
    client: ApiClient

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """An object; None if it does not exist."""
        try:
            return cast(Json, self._of(api_version, kind).get(name=name, namespace=namespace).to_dict())
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def names(self, api_version: str, kind: str, namespace: str) -> set[str]:
        """The names of all objects of a kind in a namespace."""
        return {item.metadata.name for item in self._of(api_version, kind).get(namespace=namespace).items}

    def versions(self, since: Json, *, seconds: int) -> Iterator[Json]:
        """What an object has been since this version of it, until so many seconds from now."""
        events = self._of(str(since["apiVersion"]), str(since["kind"])).watch(
            namespace=at(since, "metadata.namespace"),
            name=at(since, "metadata.name"),
            resource_version=at(since, "metadata.resourceVersion"),
            timeout=seconds,
        )
        return (event["raw_object"] for event in events)

    def create(self, manifest: Json, namespace: str | None = None) -> None:
        """Create an object outside Pulumi."""
        self._of(str(manifest["apiVersion"]), str(manifest["kind"])).create(body=manifest, namespace=namespace)

    def edit(self, manifest: Json, name: str, namespace: str | None = None, *, manager: str = "kubectl-edit") -> None:
        """Change an object as `kubectl edit` does or, with another field manager, as a controller does."""
        self._of(str(manifest["apiVersion"]), str(manifest["kind"])).patch(
            body=manifest,
            name=name,
            namespace=namespace,
            content_type="application/merge-patch+json",
            field_manager=manager,
        )

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete an object outside Pulumi."""
        self._of(api_version, kind).delete(name=name, namespace=namespace)

    def _of(self, api_version: str, kind: str) -> dynamic.Resource:
        return cast(dynamic.Resource, self._dynamic.resources.get(api_version=api_version, kind=kind))

    @cached_property
    def _dynamic(self) -> dynamic.DynamicClient:
        return dynamic.DynamicClient(self.client)  # type: ignore[no-untyped-call]  # the library has no types


def at(value: object, path: str) -> object:
    """The value at a path such as `spec.containers.0.image`. Fails at the first step that does not exist."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)]
        else:
            assert isinstance(value, dict), f"nothing at {step} of {path}"
            assert step in value, f"no {step} of {path} in {sorted(value)}"
            value = value[step]
    return value


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox of the test run. Every test has its own namespaces, and its stacks have unique names.

    All workers share it: a control plane takes twelve seconds of CPU time to start, and four per minute.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MEMORY_LIMIT_VARIABLE, "1GiB")  # for commands of tests too: another limit restarts the API server
        with shared_sandbox(tmp_path_factory, "sandbox", Kind.SIMULATED) as shared:
            yield shared


@contextmanager
def shared_sandbox(factory: pytest.TempPathFactory, name: str, kind: Kind) -> Iterator[Sandbox]:
    """A sandbox that all workers share: the first one starts it, and the last one deletes it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    folder = run_folder(factory)
    shared, users = Sandbox(folder / name), folder / f"{name}-users"
    users.mkdir(exist_ok=True)
    with exclusive(folder / f"{name}-lock", wait):
        (users / f"{worker}").touch()
        shared.up(kind)
    try:
        yield shared
    finally:
        with exclusive(folder / f"{name}-lock", wait):
            (users / f"{worker}").unlink()
            if not any(users.iterdir()):
                shared.reset()


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of the test run, which all workers share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def dev(sandbox: Sandbox) -> Stack:
    """The dev stack in the shared sandbox, deployed once. Tests must not change it."""
    stack = Stack("dev", sandbox.folder.path / "stacks", sandbox.environment())
    printed = sandbox.folder.path.with_name("dev-output")
    with exclusive(sandbox.folder.path.with_name("dev-lock"), wait):
        if not printed.exists():
            printed.write_text(deploy(stack.name, sandbox.folder.path).ok().output)
    stack.printed.append(printed.read_text())
    return stack


def wait() -> None:
    """Wait for another worker, however long it takes."""


@pytest.fixture(scope="session")
def kube(request: pytest.FixtureRequest) -> Kube:
    """The cluster of the test run."""
    kubeconfig = os.environ.get(CLUSTER_VARIABLE)
    if not kubeconfig:
        own: Sandbox = request.getfixturevalue("sandbox")
        kubeconfig = own.environment()["KUBECONFIG"]
    return Kube(Path(kubeconfig), connect(kubeconfig))


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    """A namespace for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kube.delete("v1", "Namespace", name)


class ClusterProgram(Program):
    """A program on the cluster. NAMESPACE in its source is replaced by the namespace of the test."""

    def __init__(self, engine: Engine, folder: Path, kubeconfig: Path, namespace: str) -> None:
        super().__init__(engine, folder)
        self.namespace = namespace
        self.variables["KUBECONFIG"] = str(kubeconfig)

    def write(self, source: str, file: str = "__main__.py") -> None:
        """Write the program, which follows the definitions in PREAMBLE."""
        super().write((PREAMBLE + textwrap.dedent(source)).replace("NAMESPACE", self.namespace), file)


@pytest.fixture
def on_cluster(kube: Kube, namespace: str, engine: Engine, tmp_path: Path) -> ClusterProgramFactory:
    """Creates programs on the cluster, each with its own project, stack and backend."""
    made = 0

    def make(source: str) -> ClusterProgram:
        nonlocal made
        made += 1
        new = ClusterProgram(engine, tmp_path / f"{made}", kube.kubeconfig, namespace)
        new.write(source)
        return new

    return make
