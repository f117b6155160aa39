"""`pulumi destroy` on the real node: what it ends, and what it keeps. It is the last test that needs the stacks."""

from __future__ import annotations

from typing import Final

import pytest

from sandbox.controlplane import Sandbox
from tests.engine.harness import Result
from tests.engine.view import NAME_LABEL, View
from tests.node.contents import EVERYTHING, Contents, volumes
from tests.node.shapes import Installation
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(1800)]

APPLICATION: Final = {"web", "worker"}


def volume_names(view: View) -> set[str]:
    """The volumes of the cluster."""
    return set(view.kubectl("get", "persistentvolumes", "--output=name").ok().stdout.split())


def check_nothing_is_left(node: Sandbox, shape: Installation, own_volumes: set[str]) -> None:
    view = shape.view
    assert shape.stack.resources() == []
    assert view.kubectl("get", "namespace", view.namespace).exit_code != 0
    eventually(lambda: not own_volumes & volume_names(view))
    files = node.folder.path / "node" / "volumes" / "files"
    eventually(lambda: not {f"persistentvolume/{file.stem}" for file in files.glob("*.img")} & own_volumes)


def own_volumes(shape: Installation) -> set[str]:
    return {f"persistentvolume/{name}" for _, name in volumes(shape.view).values()}


@pytest.fixture(scope="module", params=["staging", "prod"])
def guarded(request: pytest.FixtureRequest) -> Installation:
    """Each shape that is protected."""
    found: Installation = request.getfixturevalue(request.param)
    return found


def test_destroy_leaves_nothing_of_dev(shared_node: Sandbox, dev: Installation) -> None:
    before = own_volumes(dev)
    assert before <= volume_names(dev.view)
    dev.destroy()
    check_nothing_is_left(shared_node, dev, before)


def test_destroy_refuses_a_protected_stack_and_stops_nothing(guarded: Installation) -> None:
    before = guarded.view.pods()
    refused: Result = guarded.stack.destroy()
    assert refused.exit_code != 0
    assert "protected" in refused.output
    assert guarded.view.pods() == before


def test_destroy_without_what_is_protected_keeps_all_data(guarded: Installation) -> None:
    contents = Contents(guarded.view)
    contents.write()
    before = volumes(guarded.view)

    guarded.stack.destroy("--exclude-protected").ok()

    assert not {pod["metadata"]["labels"][NAME_LABEL] for pod in guarded.pods()} & APPLICATION
    assert contents.count() == EVERYTHING
    guarded.stack.up().ok()
    guarded.wait_until_ready()
    assert volumes(guarded.view) == before
    assert contents.count() == EVERYTHING


def test_an_unprotected_stack_can_be_destroyed(shared_node: Sandbox, guarded: Installation) -> None:
    before = own_volumes(guarded)
    guarded.remove()
    check_nothing_is_left(shared_node, guarded, before)
