"""`upgrade-postgres`: its steps, killed before and after each of them, and its way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from components.settings.load import SettingsError, parse
from operations.__main__ import app
from operations.errors import OperationError
from operations.postgres_upgrade import CLAIM, KEY, Upgrade
from tests.unit.configuration import HOST
from tests.unit.operations.killed import Killable, KilledError

OLD, NEW = "17.6", "18.4"
NAMESPACE = "langfuse-prod"


class World(Killable):
    """A stack, its file, its state and its cluster. Every change of it counts, and can be the last one of a command."""

    def __init__(self) -> None:
        super().__init__()
        self.file: dict[str, Any] = {"version": OLD, "storage": "10Gi"}
        self.claims = {"langfuse-postgres-data"}
        self.replicas = {"langfuse-web": 2, "langfuse-worker": 3}
        self.server = (OLD, "langfuse-postgres-data")
        self.copied: set[str] = set()
        self.protected = {"langfuse-postgres-data"}
        self.said: list[str] = []
        self.locked: list[str] = []
        self.stale = False
        self.copies = 0

    def update(self) -> None:
        """What the program and Pulumi do with the file."""
        parse("prod", {"host": HOST, "postgres": {"mode": "managed", **self.file}})  # the program accepts it
        claims = {name(self.file.get("volume"))}
        if former := self.file.get("former"):
            claims.add(name(former.get("volume")))
        if to := self.file.get("upgradeTo"):
            claims.add(name(int(to.partition(".")[0])))
        wanted = self.file["version"], name(self.file.get("volume"))
        if wanted != self.server:
            assert wanted[1] in self.copied | {"langfuse-postgres-data"}, "the server would find an empty volume"
            assert self.replicas == {"langfuse-web": 0, "langfuse-worker": 0}, "writers run while the server changes"
        for gone in self.claims - claims:
            assert gone not in self.protected, f"{gone} is protected"
            self.copied.discard(gone)
        self.claims, self.server = claims, wanted
        self.protected = set(claims)
        if to:
            assert to in self.locked, "its image could run unlocked"
            assert self.replicas == {"langfuse-web": 0, "langfuse-worker": 0}, "writers run during the copy"
            new = name(int(to.partition(".")[0]))
            self.copies += new not in self.copied
            self.copied.add(new)


def name(volume: int | None) -> str:
    return f"langfuse-postgres-data{f'-{volume}' if volume else ''}"


class FakePulumi:
    """The CLI, as far as the command uses it."""

    stack = "prod"

    def __init__(self, world: World) -> None:
        self.world = world

    def config(self, key: str) -> Mapping[str, Any]:
        assert key == KEY
        return json.loads(json.dumps(self.world.file))  # type: ignore[no-any-return]

    def set_config(self, key: str, value: Mapping[str, Any]) -> None:
        assert key == KEY
        file = {name: item for name, item in value.items() if name != "mode"}
        self.world.change(lambda: setattr(self.world, "file", file))

    def change(self, *words: str) -> None:
        assert words == ("up",)
        self.world.change(self.world.update)

    def events(self, *words: str) -> Any:  # noqa: ANN401
        assert words == ("preview", "--expect-no-changes")
        return type("Done", (), {"exit_code": int(self.world.stale)})

    def run(self, *words: str) -> str:
        if words[:2] == ("state", "unprotect"):
            claim = words[2].rpartition("::")[2]
            self.world.change(lambda: self.world.protected.discard(claim))
            return ""
        claims = [
            {"type": CLAIM, "urn": f"urn::{one}", "protect": one in self.world.protected} for one in self.world.claims
        ]
        return json.dumps({"deployment": {"resources": claims}})

    def objects(self) -> list[Mapping[str, Any]]:
        counts = {"langfuse-web": 2, "langfuse-worker": 3}
        return [
            {"kind": "Deployment", "metadata": {"name": one, "namespace": NAMESPACE}, "spec": {"replicas": count}}
            for one, count in counts.items()
        ]


class FakeCluster:
    """The cluster, as far as the command uses it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.retained: set[str] = set()

    def scale(self, item: Mapping[str, Any], replicas: int) -> None:
        self.world.change(lambda: self.world.replicas.update({item["metadata"]["name"]: replicas}))

    def pod_names(self, _namespace: str, selector: str) -> list[str]:
        return ["pod"] * self.world.replicas[f"langfuse-{selector.rpartition('=')[2]}"]

    def get(self, item: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if item["kind"] == "Deployment":
            return {"spec": {"replicas": self.world.replicas[item["metadata"]["name"]]}}
        return item if item["metadata"]["name"] in self.retained else None

    def delete(self, item: Mapping[str, Any]) -> None:
        self.world.change(lambda: self.retained.discard(item["metadata"]["name"]))

    def log(self, _job: Mapping[str, Any]) -> str:
        return "copying\nthe copy is complete: 3 tables with 20 rows are the same on both servers\n"


def upgrade(world: World, cluster: FakeCluster | None = None) -> Upgrade:
    pulumi, lock = FakePulumi(world), world.locked.append
    return Upgrade(pulumi, cluster or FakeCluster(world), world.said.append, default=OLD, lock=lock)  # type: ignore[arg-type]


def test_the_database_is_copied_and_the_former_volume_is_kept() -> None:
    world = World()
    upgrade(world).forward(NEW)
    assert world.file == {"version": NEW, "storage": "10Gi", "volume": 18, "former": {"version": OLD}}
    assert world.server == (NEW, "langfuse-postgres-data-18")
    assert world.claims == {"langfuse-postgres-data", "langfuse-postgres-data-18"}
    assert world.replicas == {"langfuse-web": 2, "langfuse-worker": 3}
    assert any("3 tables with 20 rows" in line for line in world.said)


def test_finish_removes_the_former_volume_and_the_next_upgrade_can_begin() -> None:
    world = World()
    cluster = FakeCluster(world)
    upgrade(world, cluster).forward(NEW)
    cluster.retained = {"langfuse-postgres-data"}
    upgrade(world, cluster).finish()
    assert world.file == {"version": NEW, "storage": "10Gi", "volume": 18}
    assert (world.claims, cluster.retained) == ({"langfuse-postgres-data-18"}, set())
    upgrade(world, cluster).forward("19.1")
    assert world.server == ("19.1", "langfuse-postgres-data-19")


@pytest.mark.parametrize("arrives", [True, False], ids=["after the change", "before the change"])
@pytest.mark.parametrize("step", range(1, 9))
def test_a_killed_command_is_continued_by_the_same_command(step: int, *, arrives: bool) -> None:
    world = World()
    world.last = step if arrives else step - 1
    with pytest.raises(KilledError):
        upgrade(world).forward(NEW)
    world.last = None
    upgrade(world).forward(NEW)
    assert world.server == (NEW, "langfuse-postgres-data-18")
    assert world.replicas == {"langfuse-web": 2, "langfuse-worker": 3}
    assert world.file["former"] == {"version": OLD}


@pytest.mark.parametrize("step", range(1, 9))
def test_back_returns_from_every_step(step: int) -> None:
    world = World()
    world.last = step
    with pytest.raises(KilledError):
        upgrade(world).forward(NEW)
    world.last = None
    upgrade(world).back(discard_writes=True)
    assert world.server == (OLD, "langfuse-postgres-data")
    assert world.claims == {"langfuse-postgres-data"}
    assert world.replicas == {"langfuse-web": 2, "langfuse-worker": 3}
    assert world.file == {"version": OLD, "storage": "10Gi"}


@pytest.mark.parametrize("step", range(1, 7))
def test_a_killed_way_back_is_continued_by_the_same_command(step: int) -> None:
    world = World()
    upgrade(world).forward(NEW)
    world.changes, world.last = 0, step
    with pytest.raises(KilledError):
        upgrade(world).back(discard_writes=True)
    world.last = None
    upgrade(world).back(discard_writes=True)
    assert world.server == (OLD, "langfuse-postgres-data")
    assert world.replicas == {"langfuse-web": 2, "langfuse-worker": 3}


def test_a_copy_is_not_used_if_the_application_ran_after_it() -> None:
    world = World()
    world.last = 4  # the copy is complete
    with pytest.raises(KilledError):
        upgrade(world).forward(NEW)
    assert world.copied == {"langfuse-postgres-data-18"}
    world.last = None
    world.replicas["langfuse-web"] = 2  # somebody starts it
    upgrade(world).forward(NEW)
    assert "web or worker ran since the copy began: it begins again" in world.said
    assert world.copies == 2
    assert world.server == (NEW, "langfuse-postgres-data-18")


def test_a_volume_of_an_earlier_attempt_is_never_taken_for_a_copy() -> None:
    world = World()
    cluster = FakeCluster(world)
    cluster.retained = {"langfuse-postgres-data-18"}
    with pytest.raises(OperationError, match="langfuse-postgres-data-18 exists already"):
        upgrade(world, cluster).forward(NEW)
    assert world.changes == 0
    upgrade(world, cluster).back(discard_writes=False)
    assert cluster.retained == set()
    upgrade(world, cluster).forward(NEW)


def test_the_way_back_loses_no_writes_without_consent() -> None:
    world = World()
    upgrade(world).forward(NEW)
    with pytest.raises(OperationError, match="--discard-writes"):
        upgrade(world).back(discard_writes=False)
    assert world.server == (NEW, "langfuse-postgres-data-18")


def test_an_upgrade_begins_only_with_a_deployed_stack_and_a_later_release() -> None:
    world = World()
    world.stale = True
    with pytest.raises(OperationError, match="changes that are not deployed"):
        upgrade(world).forward(NEW)
    assert world.changes == 0
    for wrong in ("17.9", "16.4"):
        with pytest.raises(OperationError, match="not a later major release"):
            upgrade(world).forward(wrong)
    world.file = {"mode": "external"}
    with pytest.raises(OperationError, match="only a managed Postgres"):
        upgrade(world).forward(NEW)


def test_one_upgrade_at_a_time() -> None:
    world = World()
    world.last = 1
    with pytest.raises(KilledError):
        upgrade(world).forward(NEW)
    world.last = None
    with pytest.raises(OperationError, match=f"an upgrade to {NEW} has begun"):
        upgrade(world).forward("19.1")
    upgrade(world).forward(NEW)
    with pytest.raises(OperationError, match="not finished"):
        upgrade(world).forward("19.1")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"version": OLD, "volume": 18}, "postgres.volume: 18 is not the major release"),
        ({"version": NEW, "upgradeTo": "18.5"}, "postgres.upgradeTo"),
        ({"version": NEW, "volume": 18, "upgradeTo": "19.1", "former": {"version": OLD}}, "not finished"),
        ({"version": NEW, "former": {"version": OLD}}, "postgres.former"),
    ],
)
def test_keys_that_lead_to_another_volume_are_refused(keys: Mapping[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse("prod", {"host": HOST, "postgres": {"mode": "managed", **keys}})


def test_exactly_one_direction_is_named() -> None:
    for words in ((), ("--back", "--finish"), ("--to", NEW, "--back")):
        done = CliRunner().invoke(app, ["upgrade-postgres", "--stack", "dev", *words])
        assert done.exit_code == 2
        assert "pass one of --to RELEASE, --back and --finish" in done.output
    assert CliRunner().invoke(app, ["upgrade-postgres", "--stack", "dev", "--to", "18"]).exit_code == 2
