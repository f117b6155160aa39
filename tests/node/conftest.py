"""The real node of the tests. It needs Linux, root and packages of the distribution: see `.ci/run`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from components.schema.images import postgres
from sandbox import images
from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from sandbox.folder import Kind
from sandbox.node import requirements
from tests.engine.kube import shared_sandbox
from tests.engine.view import View
from tests.node import pod_networks
from tests.node.shapes import OLD_POSTGRES, SHAPES, Installation, ensure_images, installed
from tests.node.stand_ins import stand_in, stand_ins

REQUIRED: Final = "NODE_TESTS"
"""`required`: fail where the node can't run, instead of skipping its tests."""

GATEWAY: Final = "istio-system"
"""The namespace whose pods may connect to web."""
CLIENT: Final = "client"
OPENSHIFT: Final = Path(__file__).with_name("openshift.yaml")
"""What the shape `openshift` needs of its cluster."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of one shape, from all files, before those of the next one, so that each is deployed once."""
    items.sort(key=shape_number)


def shape_number(item: pytest.Item) -> int:
    """The place of a test's shape in SHAPES; that of the first one if it has none."""
    if not item.get_closest_marker("node"):
        return 0
    parameters = getattr(item, "callspec", None)
    names = [*getattr(item, "fixturenames", ()), *(parameters.params.values() if parameters else ())]
    return max((number for number, shape in enumerate(SHAPES) if shape in names), default=0)


@pytest.fixture(scope="session")
def machine() -> None:
    """Skip, or fail if the tests are required, on a machine that can't run the node."""
    try:
        requirements.check()
    except SandboxError as error:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"the tests of the real node are required: {error}", pytrace=False)
        pytest.skip(f"NOT TESTED on a real node: {error}")


@pytest.fixture(scope="module")
def node(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a real node, which is deleted at the end."""
    started = Sandbox(tmp_path_factory.mktemp("node") / "sandbox")
    try:
        started.up(Kind.REAL)
        yield started
    finally:
        started.reset()


@pytest.fixture(scope="session")
def shared_node(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The node of the test run, on which the shapes are deployed. All workers share it."""
    ensure_images()
    with shared_sandbox(tmp_path_factory, "real-node", Kind.REAL) as shared:
        yield shared


@pytest.fixture(scope="module")
def dev(shared_node: Sandbox) -> Iterator[Installation]:
    """The shape `dev`, ready. Tests may change it, and leave it ready with its configuration as it was.

    No other file of tests has it meanwhile: the fixture waits for them.
    """
    with installed(shared_node, "dev") as shape:
        yield shape


@pytest.fixture(scope="module")
def staging(shared_node: Sandbox) -> Iterator[Installation]:
    """The shape `staging`, with the same rules as `dev`."""
    with installed(shared_node, "staging") as shape:
        yield shape


@pytest.fixture(scope="module")
def prod(shared_node: Sandbox) -> Iterator[Installation]:
    """The shape `prod`, with the same rules as `dev`."""
    with installed(shared_node, "prod") as shape:
        yield shape


@pytest.fixture(scope="module")
def openshift(shared_node: Sandbox) -> Iterator[Installation]:
    """The shape `openshift`, with the same rules as `dev`."""
    images.ensure([postgres(OLD_POSTGRES).reference])
    View(shared_node, "default").kubectl("apply", f"--filename={OPENSHIFT}").ok()
    with installed(shared_node, "openshift") as shape:
        yield shape


@pytest.fixture(
    scope="module",
    params=["dev", pytest.param("staging", marks=pytest.mark.whole), pytest.param("prod", marks=pytest.mark.whole)],
)
def shape(request: pytest.FixtureRequest) -> Installation:
    """Each shape, one after the other."""
    found: Installation = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def client(shared_node: Sandbox) -> Iterator[int]:
    """A process in the network of a pod of the gateway's namespace, which may connect to web."""
    view = View(shared_node, GATEWAY)
    with stand_ins([stand_in(CLIENT, GATEWAY, {})], view):
        yield pod_networks.processes()[view.get("pod", CLIENT)["metadata"]["uid"]]
