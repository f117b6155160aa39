"""A shape that was deployed a moment ago. Other files of tests change it afterwards."""

from __future__ import annotations

import pytest

from tests.engine.view import conditions
from tests.node.containers import ends
from tests.node.shapes import Installation

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]


def test_after_a_deployment_everything_is_ready_and_nothing_was_restarted(shape: Installation) -> None:
    assert shape.unready() == []
    assert shape.restarts_of_the_deployment() == {}
    for job in shape.view.objects("jobs"):
        assert conditions(job).get("Complete") == "True", job["metadata"]["name"]
    assert {claim["status"]["phase"] for claim in shape.view.objects("persistentvolumeclaims")} == {"Bound"}
    assert [end for pod in shape.view.objects("pods") for end in ends(pod)] == []


def test_the_first_migration_found_empty_databases(shape: Installation) -> None:
    log = shape.view.kubectl(
        *("logs", "--namespace", shape.view.namespace, "job/langfuse-migrations", "--all-containers", "--tail=-1")
    ).stdout
    assert "Postgres has no schema yet" in log
    assert "ClickHouse has no schema yet" in log
