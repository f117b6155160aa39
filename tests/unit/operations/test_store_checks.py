"""`check-stores`: the Job that it makes of a preview, what it needs beside it, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from operations import store_checks
from operations.__main__ import app
from operations.commands.stores import STORES
from operations.errors import OperationError
from operations.store_checks import OF_PHASE, Line, check_job, kubernetes_objects, needed, of_stores, run
from tests.unit.program import recorded

Json = Mapping[str, Any]

NAME = of_stores([]).job

EXISTING = {"source": "existing", "secret": "langfuse-credentials"}
EXTERNAL_REDIS = {"redis": {"mode": "external", "host": "redis.example.org"}, "credentials": EXISTING}


def objects(config: Json | None = None) -> list[Json]:
    """The Kubernetes objects of the stack dev, as a preview shows them."""
    return kubernetes_objects(item.inputs for item in recorded("dev", config or {}).resources)


def key(item: Json) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


class FakeCluster:
    """A cluster with some objects, in which a Job ends at once and prints a log."""

    def __init__(self, existing: list[Json], log: str = "") -> None:
        self.objects = {key(item): item for item in existing}
        self.made: list[Json] = []
        self.deleted: list[tuple[str, str]] = []
        self.text = log

    def namespace_uid(self, name: str) -> str | None:
        return "uid" if ("Namespace", name) in self.objects else None

    def get(self, item: Json) -> Json | None:
        if item["metadata"]["name"] == NAME:
            return {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
        return self.objects.get(key(item))

    def create(self, item: Json) -> Json:
        self.made.append(item)
        return {**item, "metadata": {**item["metadata"], "uid": "job-uid"}}

    def delete(self, item: Json) -> None:
        self.deleted.append(key(item))

    def log(self, _job: Json) -> str:
        return self.text

    def pod_reason(self, _job: Json) -> str:
        return "ErrImagePull: not found"


RESULT: dict[str, Any] = {
    "store": "redis",
    "check": "policy",
    "outcome": "failed",
    "detail": "allkeys-lru",
    "fix": "set noeviction",
}


def test_the_job_runs_the_check_of_the_migrations_alone() -> None:
    given = objects()
    job = check_job(given, of_stores(["redis"]))
    template = job["spec"]["template"]
    migration = next(item for item in given if key(item) == ("Job", "langfuse-migrations"))["spec"]["template"]
    assert template["metadata"]["labels"] == migration["metadata"]["labels"]  # network rules select them
    assert template["spec"]["serviceAccountName"] == migration["spec"]["serviceAccountName"]
    assert "initContainers" not in template["spec"]
    (container,) = template["spec"]["containers"]
    original = next(one for one in migration["spec"]["initContainers"] if one["name"] == "stores")
    assert (container["image"], container["command"]) == (original["image"], original["command"])
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert (values["REPORT"], values["CHECKED_STORES"]) == ("json", "redis")
    assert len(values) == len(container["env"])
    assert (job["spec"]["backoffLimit"], job["metadata"]["name"]) == (0, NAME)


def test_the_check_of_the_phase_runs_alone_and_reaches_the_databases_only() -> None:
    job = check_job(objects({"ingestion": {"phase": "dual"}}), OF_PHASE)
    assert job["metadata"]["name"] == "langfuse-check-phase"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert (values["REPORT"], values["PHASE"], values["ACKNOWLEDGED"]) == ("json", "dual", "false")
    assert not [name for name in values if name.startswith(("REDIS_", "LANGFUSE_S3_"))]


def test_what_a_changed_stack_needs_exists_only_while_the_check_runs() -> None:
    before = objects({"credentials": EXISTING})
    secret = {"kind": "Secret", "metadata": {"name": EXISTING["secret"]}}
    cluster = FakeCluster([*before, secret], json.dumps(RESULT))
    lines = run(cluster, objects(EXTERNAL_REDIS), of_stores([]), lambda _: None)  # type: ignore[arg-type]
    assert lines == [Line(**RESULT)]
    job, *others = cluster.made
    assert key(job) == ("Job", NAME)
    assert ("NetworkPolicy", f"{NAME}-allow-redis-egress") in [key(item) for item in others]
    assert all(item["metadata"]["ownerReferences"][0]["uid"] == "job-uid" for item in others)
    assert not {key(item) for item in others} & cluster.objects.keys()
    assert cluster.deleted == [("Job", NAME), ("Job", NAME)]  # of a killed run, and its own


def test_an_unchanged_stack_needs_nothing_else() -> None:
    given = objects()
    existing = {key(item): item for item in given}
    assert list(needed(given, check_job(given, of_stores([])), lambda item: existing.get(key(item)))) == []
    without = {found: item for found, item in existing.items() if found[0] != "ConfigMap"}
    names = [
        key(item)[1] for item in needed(given, check_job(given, of_stores([])), lambda item: without.get(key(item)))
    ]
    assert len(names) == 1
    assert names[0].startswith("langfuse-migrations-scripts")


@pytest.mark.parametrize(("missing", "said"), [("Namespace", "no namespace langfuse-dev"), ("Secret", "no Secret ")])
def test_before_the_first_update_the_command_says_when_the_check_runs(missing: str, said: str) -> None:
    existing = [item for item in objects() if item["kind"] != missing]
    with pytest.raises(OperationError, match=f"{said}.*`pulumi up` creates it, and runs the same check"):
        run(FakeCluster(existing), objects(), of_stores([]), lambda _: None)  # type: ignore[arg-type]


def test_a_pod_that_does_not_start_gives_its_reason() -> None:
    cluster = FakeCluster(objects())
    with pytest.raises(OperationError, match="ErrImagePull"):
        run(cluster, objects(), of_stores([]), lambda _: None)  # type: ignore[arg-type]
    assert cluster.deleted[-1] == ("Job", NAME)


def test_the_command_prints_one_table_and_its_exit_code_tells_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Line(store="postgres", check="connection", outcome="ok", detail="Postgres 17.6")]
    monkeypatch.setattr(store_checks, "check", lambda *_: lines)
    fine = CliRunner().invoke(app, ["check-stores", "--stack", "dev"])
    assert fine.exit_code == 0, fine.output
    lines.append(Line(**RESULT))
    failed = CliRunner().invoke(app, ["check-stores", "--stack", "dev"])
    assert failed.exit_code == 1
    assert "set noeviction" in failed.output
    assert "Postgres 17.6" in failed.output
    as_json = CliRunner().invoke(app, ["check-stores", "--stack", "dev", "--json"])
    assert json.loads(as_json.output)[1] == RESULT
    lines[:] = [Line(store="phase", check="reached", outcome="ok", detail="dual: both get traces")]
    phase = CliRunner().invoke(app, ["phase", "--stack", "dev"])
    assert phase.exit_code == 0
    assert "dual: both get traces" in phase.output


def test_only_known_stores_can_be_named() -> None:
    wrong = CliRunner().invoke(app, ["check-stores", "--stack", "dev", "--store", "mysql"])
    assert wrong.exit_code == 2
    job = check_job(objects(), of_stores([]))
    values = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert set(values["MANAGED_STORES"].split(",")) == set(STORES)
