"""`repair`: what it shows, asks, refuses and starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from operations import repair, restore
from operations.__main__ import app
from operations.cluster import Step

NAMESPACE = "langfuse-prod"
CLEAN = {"store": "clickhouse", "migration": None}
HALF: Mapping[str, Any] = {
    "store": "postgres",
    "migration": "20260901_half",
    "error": "42701 column exists",
    "statements": [
        {"sql": "-- AlterTable\nALTER TABLE a ADD COLUMN b text", "effect": "not-applied", "why": "b is not there"}
    ],
    "repair": "rerun",
    "cleanup": ['DROP INDEX IF EXISTS "i"'],
    "remaining": [],
    "shown": "0123456789abcdef",
}


class World:
    """A cluster with the CronJob, and what its Jobs print."""

    def __init__(self, *found: Mapping[str, Any]) -> None:
        self.found = found
        self.ran: list[dict[str, str]] = []
        self.logs: dict[str, str] = {}
        env = [{"name": name, "value": ""} for name in ("ACTION", "STORE", "SHOWN", "ASSUME")]
        template = {"metadata": {}, "spec": {"containers": [{"name": "repair", "env": env}]}}
        metadata = {"name": repair.REPAIR, "namespace": NAMESPACE, "uid": "uid"}
        spec = {"jobTemplate": {"spec": {"activeDeadlineSeconds": 60, "template": template}}}
        self.objects: dict[str, Any] = {
            repair.REPAIR: {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
        }
        self.conditions(restore.MIGRATIONS, "Failed")

    def conditions(self, job: str, *types: str) -> None:
        self.objects[job] = {"status": {"conditions": [{"type": one, "status": "True"} for one in types]}}

    def get(self, wanted: Mapping[str, Any]) -> Any:  # noqa: ANN401  # an object of Kubernetes
        return self.objects.get(wanted["metadata"]["name"])

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {one["name"]: one["value"] for one in container["env"]}
        self.ran.append(variables)
        repaired = {"store": "postgres", "migration": HALF["migration"], "repaired": "rerun"}
        lines = self.found if variables["ACTION"] == "show" else (repaired, {**CLEAN, "store": "postgres"})
        name = job["metadata"]["name"]
        self.logs[name] = "running: x\n" + "\n".join(json.dumps(line) for line in lines)
        self.conditions(name, "Complete")
        self.objects[name] |= job
        return job

    def steps(self, job: Mapping[str, Any]) -> list[Step]:
        return [Step("pod", "repair", runs=False, failed=False, log=self.logs[job["metadata"]["name"]])]

    def pod_reason(self, job: Mapping[str, Any]) -> str:
        return f"the pod of {job['metadata']['name']} does not run"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401  # a function
    def runs(world: World, *options: str, deployed: bool = True) -> Result:
        objects = [world.objects[repair.REPAIR]] if deployed else []
        monkeypatch.setattr("operations.pulumi.Pulumi.objects", lambda _: objects)
        monkeypatch.setattr("operations.cluster.Cluster.of", staticmethod(lambda _: world))
        monkeypatch.setattr("operations.cluster_identity.check", lambda _: None)
        return CliRunner().invoke(app, ["repair", "--stack", "prod", *options])

    return runs


def test_a_migration_is_shown_and_repaired_as_it_was_shown(run: Any) -> None:  # noqa: ANN401  # a function
    world = World(HALF, CLEAN)
    done = run(world, "--yes", "--json", "--assume", "applied")
    assert done.exit_code == 0
    assert [one["migration"] for one in json.loads(done.stdout)["repaired"]] == [HALF["migration"]]
    assert world.ran == [
        {"ACTION": "show", "STORE": "all", "SHOWN": "", "ASSUME": "applied"},
        {"ACTION": "apply", "STORE": "postgres", "SHOWN": HALF["shown"], "ASSUME": "applied"},
    ]
    for text in (
        "42701",
        "ALTER TABLE a ADD COLUMN b text",
        'DROP INDEX IF EXISTS "i"',
        "the next `pulumi up` runs it",
    ):
        assert text in done.stderr
    assert "-- AlterTable" not in done.stderr
    assert done.stderr.rstrip().endswith("run `pulumi up --stack prod` now")


def test_nothing_is_changed_without_an_agreement(run: Any) -> None:  # noqa: ANN401  # a function
    for options, code in ((["--plan"], 0), ([], 2)):  # without a terminal there is nobody to ask
        world = World(HALF)
        assert run(world, *options).exit_code == code
        assert [one["ACTION"] for one in world.ran] == ["show"]
    unclear = {**HALF, "repair": None, "refusal": "no trace", "unclear": True}
    done = run(World(unclear), "--yes")
    assert done.exit_code == 1
    assert "refused: no trace" in done.stderr
    assert "--assume" in done.stderr


def test_a_clean_schema_is_fine(run: Any) -> None:  # noqa: ANN401  # a function
    done = run(World({**CLEAN, "store": "postgres"}, CLEAN))
    assert done.exit_code == 0
    assert done.stderr.endswith("no migration is half-applied: postgres, clickhouse\n")


def test_nothing_is_started_while_something_else_changes_the_schemas(run: Any) -> None:  # noqa: ANN401  # a function
    world = World(HALF)
    world.conditions(restore.MIGRATIONS)
    done = run(world, "--yes")
    assert (done.exit_code, world.ran) == (2, [])
    assert f"Job {restore.MIGRATIONS} is still running" in done.stderr
    world = World(HALF)
    world.objects[restore.RECORD] = {}
    assert "a restore is under way" in run(world, "--yes").stderr
    assert world.ran == []
    assert "run `pulumi up` first" in run(World(HALF), deployed=False).stderr
