"""What becomes of operations that were begun and have no end, and of the lock of the command that began them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from operations.errors import OperationError
from operations.recovery import file_backend, pending, waiting
from operations.recovery.file_backend import is_abandoned, remove_partial_files
from operations.recovery.objects import object_id
from operations.recovery.pending import resolve
from operations.recovery.waiting import JOB, wait_for_migration

STACK = "urn:pulumi:dev::langfuse::"
PROVIDER = f"{STACK}langfuse:index:Langfuse$pulumi:providers:kubernetes::cluster"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
NAMESPACE = "kubernetes:core/v1:Namespace"
LABELS = {"app.kubernetes.io/instance": "langfuse"}

Json = dict[str, Any]


def resource(kind: str, name: str, *, object_name: str | None = None, **more: object) -> Json:
    """A resource as it stands in an exported state."""
    api_version, _, token = kind.removeprefix("kubernetes:").rpartition(":")
    metadata = {"name": object_name or name, "labels": LABELS}
    if kind != NAMESPACE:
        metadata["namespace"] = "ns"
    found: Json = {"urn": f"{STACK}{kind}::{name}", "type": kind, "custom": not kind.startswith("langfuse:")}
    if kind.startswith("kubernetes:"):
        found["inputs"] = {"apiVersion": api_version.removeprefix("core/"), "kind": token, "metadata": metadata}
        found["provider"] = f"{PROVIDER}::some-id"
    return found | more


def in_state(item: Json, **more: object) -> Json:
    return {**item, "id": object_id(item), "outputs": item["inputs"], **more}


def started(kind: str, item: Json) -> Json:
    return {"type": kind, "resource": item}


def identity(inputs: Mapping[str, Any]) -> str:
    return f"{inputs['kind']} {object_id({'inputs': inputs})}"


class Objects:
    """A cluster with these objects."""

    def __init__(self, *items: Json, made: str = "2026-01-01T00:00:00Z", labels: Mapping[str, str] = LABELS) -> None:
        self.found = {
            identity(item["inputs"]): {"metadata": {"creationTimestamp": made, "labels": dict(labels)}}
            for item in items
        }

    def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return self.found.get(identity(wanted))


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.0)


def test_an_object_that_was_made_goes_into_the_state_after_what_it_needs() -> None:
    parent, needed, other = ({"urn": f"{STACK}x::{name}", "type": "x"} for name in ("parent", "needed", "other"))
    item = resource(CONFIG_MAP, "a", parent=parent["urn"], dependencies=[needed["urn"]])
    plan = resolve([parent, needed, other], [started("creating", item)], Objects(item))
    assert [one["urn"] for one in plan.resources] == [parent["urn"], needed["urn"], item["urn"], other["urn"]]
    assert plan.resources[2]["id"] == "ns/a"
    assert plan.read_again == [item["urn"]]
    assert plan.messages == ["ConfigMap a: was created; added to the state"]


def test_what_it_needs_counts_by_every_kind_of_reference() -> None:
    provider, used = {"urn": PROVIDER, "type": "x"}, {"urn": f"{STACK}x::used", "type": "x"}
    item = resource(CONFIG_MAP, "a", propertyDependencies={"data": [used["urn"]], "metadata": None})
    assert resolve([provider, used], [started("creating", item)], Objects(item)).resources[2]["urn"] == item["urn"]


def test_objects_of_two_kinds_may_have_one_name() -> None:
    rule, policy = (
        resource(kind, f"a-{kind[-9:]}", object_name="a")
        for kind in (
            "kubernetes:networking.k8s.io/v1:NetworkPolicy",
            "kubernetes:security.istio.io/v1:AuthorizationPolicy",
        )
    )
    both = [started("creating", rule), started("creating", policy)]
    assert [one["urn"] for one in resolve([], both, Objects(rule)).resources] == [rule["urn"]]
    assert [one["urn"] for one in resolve([], both, Objects(policy)).resources] == [policy["urn"]]
    assert len(resolve([], both, Objects(rule, policy)).resources) == 2


@pytest.mark.parametrize(
    ("written", "least", "most"),
    [(timedelta(), 8, 10), (timedelta(seconds=6), 2, 4), (timedelta(hours=1), 0, 0), (timedelta(hours=-1), 10, 10)],
)
def test_a_provider_may_be_at_work_for_a_while_after_the_state_was_written(
    written: timedelta, least: float, most: float
) -> None:
    manifest = {"time": (datetime.now(UTC) - written).strftime("%Y-%m-%dT%H:%M:%S.%f123Z")}
    assert least <= pending.seconds_until_settled(manifest) <= most
    assert pending.seconds_until_settled({}) == pending.SETTLE_SECONDS


def test_an_object_without_a_namespace_has_its_name_as_id() -> None:
    item = resource(NAMESPACE, "ns")
    assert resolve([], [started("creating", item)], Objects(item)).resources[0]["id"] == "ns"


def test_what_was_not_made_is_made_by_the_next_update() -> None:
    plan = resolve([], [started("creating", resource(CONFIG_MAP, "a"))], Objects())
    assert plan.resources == []
    assert plan.read_again == []
    assert plan.messages == ["ConfigMap a: was not created"]


def test_an_object_that_a_provider_makes_at_the_last_moment_is_found() -> None:
    item = resource(CONFIG_MAP, "a")

    class Late(Objects):
        asked = 0

        def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
            self.asked += 1
            return super().get(wanted) if self.asked > 1 else None

    assert [one["id"] for one in resolve([], [started("creating", item)], Late(item)).resources] == ["ns/a"]


@pytest.mark.parametrize("kind", ["random:index/randomPassword:RandomPassword", "pulumi:providers:kubernetes"])
def test_what_exists_in_the_state_alone_was_not_made(kind: str) -> None:
    plan = resolve([], [started("creating", resource(kind, "a"))], Objects())
    assert plan.resources == []
    assert plan.messages == [f"{kind.rpartition(':')[2]} a: was not created"]


def test_a_component_is_not_worth_a_word() -> None:
    plan = resolve([], [started("creating", resource("langfuse:index:Web", "web", inputs={}))], Objects())
    assert (plan.resources, plan.messages) == ([], [])


def test_an_object_of_somebody_else_is_left_alone() -> None:
    item = resource(NAMESPACE, "ns")
    plan = resolve([], [started("creating", item)], Objects(item, labels={"owner": "x"}))
    assert plan.resources == []
    assert plan.messages == ["Namespace ns: exists, but this stack did not create it; left alone"]


def test_what_a_retry_has_made_since_is_left_as_it_is() -> None:
    item = resource(CONFIG_MAP, "a")
    plan = resolve([in_state(item)], [started("creating", item)], Objects(item))
    assert plan.resources == [in_state(item)]
    assert plan.read_again == []


def test_a_replacement_that_was_made_first_lets_the_old_one_be_deleted() -> None:
    old, new = resource(CONFIG_MAP, "a", object_name="a-1"), resource(CONFIG_MAP, "a", object_name="a-2")
    cluster = Objects(old, made="2026-01-01T00:00:00Z")
    cluster.found |= Objects(new, made="2026-01-02T00:00:00Z").found
    plan = resolve([in_state(old)], [started("creating", new)], cluster)
    assert [(one["id"], one.get("delete", False)) for one in plan.resources] == [("ns/a-2", False), ("ns/a-1", True)]


def test_an_object_that_a_retry_has_made_under_another_name_stays_and_the_first_one_is_deleted() -> None:
    first, second = resource(CONFIG_MAP, "a", object_name="a-1"), resource(CONFIG_MAP, "a", object_name="a-2")
    cluster = Objects(first, made="2026-01-01T00:00:00Z")
    cluster.found |= Objects(second, made="2026-01-02T00:00:00Z").found
    plan = resolve([in_state(second)], [started("creating", first)], cluster)
    assert [(one["id"], one.get("delete", False)) for one in plan.resources] == [("ns/a-2", False), ("ns/a-1", True)]


def test_a_replacement_in_the_place_of_one_that_is_gone_takes_its_place_in_the_state() -> None:
    item = resource(CONFIG_MAP, "a")
    plan = resolve([in_state(item, pendingReplacement=True)], [started("creating", item)], Objects(item))
    assert [(one["id"], one.get("pendingReplacement")) for one in plan.resources] == [("ns/a", None)]


@pytest.mark.parametrize("kind", ["updating", "deleting"])
def test_what_was_being_changed_or_deleted_is_read_again(kind: str) -> None:
    item = in_state(resource(CONFIG_MAP, "a"))
    plan = resolve([item], [started(kind, item)], Objects(item))
    assert plan.resources == [item]
    assert plan.read_again == [item["urn"]]
    assert plan.messages == [f"ConfigMap a: {kind} was interrupted; reading it again"]


def test_a_deletion_that_has_begun_is_waited_for() -> None:
    item = in_state(resource(NAMESPACE, "ns"))
    looks = 0

    class Going(Objects):
        def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
            nonlocal looks
            looks += 1
            return {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}} if looks < 3 else None

    resolve([item], [started("deleting", item)], Going())
    assert looks == 3


def test_a_deletion_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DELETION_SECONDS", 0.0)
    item = in_state(resource(NAMESPACE, "ns"))
    cluster = Objects(item)
    cluster.found["Namespace ns"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(OperationError, match="Namespace ns is still being deleted"):
        resolve([item], [started("deleting", item)], cluster)


def test_a_type_that_cannot_be_looked_for_is_named() -> None:
    with pytest.raises(OperationError, match="aws:s3/bucket:Bucket::b"):
        resolve([], [started("creating", resource("aws:s3/bucket:Bucket", "b", inputs={}))], Objects())


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    (tmp_path / ".pulumi" / "stacks" / "langfuse").mkdir(parents=True)
    (tmp_path / ".pulumi" / "locks" / "organization" / "langfuse" / "dev").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def live() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called pulumi."""
    code = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'pulumi', 0, 0, 0); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def lock(backend: Path, pid: int, *, host: str | None = None, file: str = "a.json") -> Path:
    content = {"pid": pid, "username": "me", "hostname": host or socket.gethostname(), "timestamp": "2026-01-01T00:00Z"}
    path = backend / ".pulumi" / "locks" / "organization" / "langfuse" / "dev" / file
    path.write_text(json.dumps(content))
    return path


def test_the_lock_of_a_process_that_is_gone_is_abandoned(backend: Path) -> None:
    assert not is_abandoned("dev", backend.as_uri())
    with subprocess.Popen(["/bin/true"]) as process:
        pass
    lock(backend, process.pid).with_name("a.json.attrs").write_text("")
    assert is_abandoned("dev", backend.as_uri())


def test_the_number_of_another_program_is_not_that_of_the_holder(backend: Path) -> None:
    lock(backend, os.getpid())
    assert is_abandoned("dev", backend.as_uri())


@pytest.mark.skipif(sys.platform != "linux", reason="a process can't name itself")
def test_the_lock_of_an_update_that_runs_is_never_abandoned(backend: Path, live: subprocess.Popen[bytes]) -> None:
    lock(backend, live.pid)
    with pytest.raises(OperationError, match=rf"is being changed by pulumi \(pid {live.pid}\) of me@.*; wait until"):
        is_abandoned("dev", backend.as_uri())


def test_the_lock_of_another_machine_is_left_to_people(backend: Path) -> None:
    lock(backend, 1, host="elsewhere")
    with pytest.raises(OperationError, match=r"of me@elsewhere since 2026-01-01.*recover --stack dev --break-lock"):
        is_abandoned("dev", backend.as_uri())


def test_a_lock_that_was_never_finished_is_abandoned_after_a_while(backend: Path) -> None:
    file = lock(backend, 1, file="a.json.18eb.tmp")
    with pytest.raises(OperationError, match="again in a minute"):
        is_abandoned("dev", backend.as_uri())
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert is_abandoned("dev", backend.as_uri())


@pytest.mark.parametrize("url", ["s3://states", "https://api.pulumi.com"])
def test_locks_elsewhere_are_not_looked_at(url: str) -> None:
    assert not is_abandoned("dev", url)
    assert not remove_partial_files("dev", url)


def test_half_written_files_of_a_state_are_removed_and_no_others(backend: Path) -> None:
    stacks = backend / ".pulumi" / "stacks" / "langfuse"
    whole = {"dev.json": "{}", "dev.json.bak": "{}", "dev.json.bak.attrs": '{"md5": ""}', "other.json.attrs": ""}
    halves = {"dev.json.attrs": "", "dev.json.18eb7bc2.tmp": "{"}
    for name, text in {**whole, **halves}.items():
        (stacks / name).write_text(text)
    assert remove_partial_files("dev", backend.as_uri())
    assert {file.name for file in stacks.iterdir()} == set(whole)
    assert not remove_partial_files("dev", backend.as_uri())


def test_a_path_in_the_home_folder_is_found(backend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(backend))
    assert file_backend._root("file://~?metadata=skip") == backend / ".pulumi"


class Running(Objects):
    """A cluster in which a Job runs, and has ended when it is looked at for the third time."""

    asked = 0

    def get(self, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self.asked += 1
        found = super().get(wanted)
        conditions = [{"type": "SuccessCriteriaMet", "status": "True"}]
        if self.asked > 2:
            conditions.append({"type": "Complete", "status": "True"})
        return found and {**found, "status": {"conditions": conditions}}


def job(name: str, component: str) -> Json:
    made = resource(JOB, name)
    made["inputs"]["metadata"]["labels"] = {**LABELS, "app.kubernetes.io/component": component}
    return made


def test_a_migration_that_runs_is_waited_for_since_an_update_would_stop_it() -> None:
    migration, said = job("langfuse-migrations", "migration"), list[str]()
    cluster = Running(migration, labels=migration["inputs"]["metadata"]["labels"])
    wait_for_migration([started("creating", migration)], cluster, said.append)
    assert cluster.asked == 3
    (line,) = said
    assert "Job langfuse-migrations: still running" in line
    assert "kubectl logs -f -n ns job/langfuse-migrations" in line


def test_what_is_no_running_migration_is_not_waited_for() -> None:
    migration, other, said = job("a", "migration"), job("b", "provisioning"), list[str]()
    wait_for_migration([started("creating", migration)], Objects(), said.append)  # was not made
    wait_for_migration([started("creating", migration)], Objects(migration), said.append)  # a stranger's
    both = Running(migration, other, labels=migration["inputs"]["metadata"]["labels"])
    wait_for_migration([started("updating", migration), started("creating", other)], both, said.append)
    assert said == []
