"""The rules of sets: chains, pairs and retention, for every history that can happen."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.backups.rules import Rules, rules

Json = dict[str, Any]

START = datetime(2026, 11, 1, 2, 45, tzinfo=UTC)
KEEP = {"minimum": 3, "daily": 7, "weekly": 4, "monthly": 6, "beforeUpgradeDays": 14, "legacyDays": 30}
RECENT = timedelta(hours=48)


@pytest.fixture(scope="module")
def sets() -> Iterator[Rules]:
    with rules() as found:
        yield found


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def when(folder: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(folder["finished"])


def backup(number: int, hours: float, base: int | None = None, **more: object) -> Json:
    base_id = None if base is None else f"c{base:04}"
    return {
        "id": f"c{number:04}",
        "base": base_id,
        "database": "default",
        "finished": at(hours),
        "complete": True,
        **more,
    }


def a_set(number: int, hours: float, clickhouse: int | None, **more: object) -> Json:
    pair = None if clickhouse is None else f"c{clickhouse:04}"
    return {"id": f"s{number:04}", "clickhouse": pair, "finished": at(hours), "complete": True, **more}


def history(sets: Rules, days: int, *, every: int = 24) -> tuple[list[Json], list[Json]]:
    """Sets and backups of ClickHouse as the Jobs make them, one backup a day and a set every few hours."""
    backups: list[Json] = []
    made: list[Json] = []
    for day in range(days):
        base = sets.call("chooseBase", backups, "default", at(24 * day))["base"]
        backups.append({**backup(day, 24 * day + 0.2), "base": base})
        for hour in range(1, 25, every):
            pair = sets.call("pairWith", backups, {"started": at(24 * day + hour)})
            made.append({**a_set(len(made), 24 * day + hour + 0.1, None), "clickhouse": pair["id"]})
    return made, backups


def chain(backups: Sequence[Json], id_: str | None) -> list[str] | None:
    """The chain of a backup, as the words of the rule say it."""
    known = {one["id"]: one for one in backups if one["complete"] and not one.get("legacy")}
    found: list[str] = []
    while id_ is not None:
        if id_ not in known or id_ in found:
            return None
        found.insert(0, id_)
        id_ = known[id_]["base"]
    return found


def can_be_restored(one: Json, backups: Sequence[Json]) -> bool:
    """Whether everything that a set needs is there, and no verdict calls it damaged."""
    if not one["complete"] or one["fault"]:
        return False
    found = chain(backups, one["clickhouse"])
    damaged = {backup["id"] for backup in backups if backup["damaged"]}
    return one["clickhouse"] is None or (found is not None and damaged.isdisjoint(found))


def test_a_full_backup_follows_six_incremental_ones(sets: Rules) -> None:
    _, backups = history(sets, 15)
    assert [one["id"] for one in backups if one["base"] is None] == ["c0000", "c0007", "c0014"]
    for before, one in pairwise(backups):
        assert one["base"] in (before["id"], None)


@pytest.mark.parametrize(
    ("backups", "why"),
    [
        ([], "there is no backup yet"),
        ([backup(1, 0, database="other")], "there is no backup yet"),
        ([backup(1, -30 * 24)], "is 30 days old"),
        ([backup(2, -24, base=1)], "the chain of c0002 is incomplete"),
        ([backup(1, -48, base=2), backup(2, -24, base=1)], "is incomplete"),
        ([backup(1, -48), backup(2, 24, base=1)], "is from the future"),
        ([backup(n, n - 9, base=n - 1 if n else None) for n in range(7)], "has 7 backups"),
        ([backup(1, -48, damaged=True), backup(2, -24, base=1)], "backup c0001, which the next one would build upon"),
    ],
)
def test_a_backup_is_full_when_there_is_nothing_to_build_upon(sets: Rules, backups: list[Json], why: str) -> None:
    choice = sets.call("chooseBase", backups, "default", at(0))
    assert choice["base"] is None
    assert why in choice["why"]


def test_a_dump_is_paired_with_a_backup_that_was_finished_before_it_began(sets: Rules) -> None:
    backups = [backup(1, 0), backup(2, 24, base=1), backup(3, 48, base=9)]
    pairs = {hours: sets.call("pairWith", backups, {"started": at(hours)}) for hours in (-1, 0, 23, 24, 72)}
    assert {hours: pair and pair["id"] for hours, pair in pairs.items()} == {
        -1: None,
        0: "c0001",
        23: "c0001",
        24: "c0002",
        72: "c0002",  # the chain of the third has a gap
    }
    backups[1]["damaged"] = True
    assert sets.call("pairWith", backups, {"started": at(72)})["id"] == "c0001"


def test_a_dump_of_a_restored_database_does_not_belong_to_a_backup_between_the_set_and_the_restore(sets: Rules) -> None:
    """Its traces may name projects that were created after the set."""
    backups = [{**backup(day, 24 * day), "started": at(24 * day - 1)} for day in (1, 2, 3, 4)]

    def pair(begun: float, restored: float, dump: float) -> str | None:
        found = {"started": at(dump), "restored": {"begun": at(begun), "at": at(restored)}}
        paired: Json | None = sets.call("pairWith", backups, found)
        return str(paired["id"]) if paired else None

    assert pair(30, 80, 82) == "c0001", "that of the set, not the newest one"
    assert pair(30, 80, 97) == "c0004", "one that was begun after the restore"
    assert pair(30, 95.5, 97) == "c0001", "the fourth was begun before the restore"
    assert pair(10, 80, 82) is None


def test_a_set_that_a_verdict_calls_faulty_does_not_count_and_goes_when_others_replace_it(sets: Rules) -> None:
    made, backups = history(sets, 20)

    def planned(**changed: object) -> Json:
        now = {"now": made[-1]["finished"], "sets": made, "backups": backups, **changed}
        found: Json = sets.call("plan", now, {**KEEP, "weekly": 0, "monthly": 0})
        return found

    assert planned()["kept"] == [f"s{number:04}" for number in range(19, 12, -1)]
    faulty = [{**one, "fault": "verify: x"} if one["id"] in ("s0019", "s0015") else one for one in made]
    found = planned(sets=faulty)
    assert found["kept"] == [f"s{number:04}" for number in (18, 17, 16, 14, 13, 12, 11)]
    assert "s0015" in found["remove"]["sets"], "newer ones can be restored"
    assert "s0019" not in found["remove"]["sets"], "nothing newer replaces it"
    assert "c0019" not in found["remove"]["backups"]

    damaged = [{**one, "damaged": True} if one["id"] == "c0014" else one for one in backups]
    found = planned(backups=damaged)
    assert found["kept"] == [f"s{number:04}" for number in range(13, 6, -1)], "the chain of all newer ones is damaged"
    assert set(found["remove"]["sets"]) == {f"s{number:04}" for number in range(7)}
    assert planned(sets=[{**one, "fault": "drill: x"} for one in made])["remove"] == {"sets": [], "backups": []}


def test_a_year_of_sets_shrinks_to_days_weeks_and_months(sets: Rules) -> None:
    made, backups = history(sets, 365, every=6)
    planned = sets.call("plan", {"now": made[-1]["finished"], "sets": made, "backups": backups}, KEEP)
    kept = sorted((when(one) for one in made if one["id"] in planned["kept"]), reverse=True)
    assert kept[0] == when(made[-1])
    recent = [one for one in kept if one > kept[0] - RECENT]
    assert len(recent) == 8
    assert len({one.date() for one in kept if one > kept[0] - timedelta(days=7)}) == 7
    assert len({one.isocalendar()[:2] for one in kept if one > kept[0] - timedelta(weeks=4)}) >= 4
    assert len({(one.year, one.month) for one in kept}) == 6
    assert len(kept) < 8 + 7 + 4 + 6
    left = [one for one in backups if one["id"] not in planned["remove"]["backups"]]
    assert len(left) < 90, "of 365, with whole chains"


def test_a_set_from_before_an_upgrade_is_kept_longer_and_not_forever(sets: Rules) -> None:
    made, backups = history(sets, 40, every=6)
    marked = [{**one, "beforeUpgrade": number % 20 == 3} for number, one in enumerate(made)]
    keep = {**KEEP, "daily": 1, "weekly": 0, "monthly": 0}
    newest = when(made[-1])
    ordinary, found = (
        set(sets.call("plan", {"now": made[-1]["finished"], "sets": given, "backups": backups}, keep)["kept"])
        for given in (made, marked)
    )
    expected = {one["id"] for one in marked if one["beforeUpgrade"] and newest - when(one) < timedelta(days=14)}
    assert len(expected) == 2
    assert found == ordinary | expected


PENDING = "1 migrations of Postgres and 2 of ClickHouse follow"
HALF = "a migration is half applied"
NEWER = "a schema is newer than this release"


@pytest.mark.parametrize(
    ("postgres", "clickhouse", "needed", "why"),
    [
        (None, None, False, "the databases have no schema yet"),
        ({"finished": ["a", "b"], "unfinished": []}, {"version": 12, "dirty": False}, False, "changes no schema"),
        ({"finished": ["a"], "unfinished": []}, {"version": 2, "dirty": False}, True, PENDING),
        ({"finished": ["a"], "unfinished": ["b"]}, {"version": 2, "dirty": False}, False, HALF),
        ({"finished": ["a"], "unfinished": []}, {"version": 2, "dirty": True}, False, HALF),
        ({"finished": ["a", "b", "c"], "unfinished": []}, {"version": 2, "dirty": False}, False, NEWER),
        ({"finished": ["a"], "unfinished": []}, {"version": 13, "dirty": False}, False, NEWER),
        ({"finished": ["a", "gone"], "unfinished": []}, {"version": 2, "dirty": False}, True, PENDING),
        (None, {"version": 2, "dirty": False}, True, "2 migrations of Postgres and 2 of ClickHouse follow"),
        ({"finished": ["a"], "unfinished": []}, None, True, "1 migrations of Postgres and 3 of ClickHouse follow"),
    ],
)
def test_a_set_is_needed_before_a_release_that_changes_a_schema(
    sets: Rules, postgres: Json | None, clickhouse: Json | None, *, needed: bool, why: str
) -> None:
    release = {"postgres": ["a", "b"], "clickhouse": [1, 11, 12], "removed": "DELETE ... IN ('gone')"}
    found = sets.call("beforeUpgrade", {"postgres": postgres, "clickhouse": clickhouse}, release)
    assert found["needed"] == needed
    assert why in found["why"]


folders = st.fixed_dictionaries({"hours": st.integers(-20_000, 20_000), "complete": st.booleans()})


@st.composite
def inventories(draw: st.DrawFn) -> Json:
    """Any state of the bucket: gaps in chains, sets without a marker, clocks that jumped, backups of old releases."""
    backups = [
        backup(
            number,
            one["hours"],
            draw(st.one_of(st.none(), st.integers(0, 9))),
            complete=one["complete"],
            legacy=draw(st.booleans()),
            damaged=draw(st.booleans()) and draw(st.booleans()),
        )
        for number, one in enumerate(draw(st.lists(folders, max_size=8)))
    ]
    made = [
        a_set(
            number,
            one["hours"],
            draw(st.one_of(st.none(), st.integers(0, 9))),
            complete=one["complete"],
            fault=draw(st.sampled_from([None, None, None, "verify: a fault"])),
            beforeUpgrade=draw(st.booleans()),
        )
        for number, one in enumerate(draw(st.lists(folders, max_size=12)))
    ]
    return {"now": at(draw(st.integers(-20_000, 20_000))), "sets": made, "backups": backups}


keeps = st.fixed_dictionaries(
    {
        "minimum": st.integers(1, 5),
        **{name: st.integers(0, 5) for name in ("daily", "weekly", "monthly")},
        "beforeUpgradeDays": st.integers(0, 40),
        "legacyDays": st.integers(1, 40),
    }
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inventory=inventories(), keep=keeps)
def test_retention_never_removes_what_is_needed(sets: Rules, inventory: Json, keep: Json) -> None:
    planned = sets.call("plan", inventory, keep)
    backups, removed = inventory["backups"], planned["remove"]
    restorable = [one for one in inventory["sets"] if can_be_restored(one, backups)]
    if not restorable:
        assert removed == {"sets": [], "backups": []}, "nothing is removed while no set can be restored"
        return
    left = [one for one in inventory["sets"] if one["id"] not in removed["sets"]]
    left_backups = [one for one in backups if one["id"] not in removed["backups"]]
    still = [one for one in left if can_be_restored(one, left_backups)]
    assert len(still) >= min(keep["minimum"], len(restorable))
    newest = max(restorable, key=lambda one: (when(one), one["id"]))
    assert newest in still
    assert [one for one in left if one in restorable] == still, "every set that is left can still be restored"
    usable = [one for one in backups if one["complete"] and not one["legacy"]]
    if usable:
        latest = max(usable, key=lambda one: (when(one), one["id"]))
        assert set(chain(backups, latest["id"]) or []).isdisjoint(removed["backups"]), "the next one builds upon it"
    border = min(when(newest), datetime.fromisoformat(inventory["now"])) - RECENT
    gone = [one for one in [*inventory["sets"], *backups] if one["id"] in {*removed["sets"], *removed["backups"]}]
    assert all(when(one) < border for one in gone), "runs that are still going on may need it"
    again = sets.call("plan", {**inventory, "sets": left, "backups": left_backups}, keep)
    assert again["remove"] == {"sets": [], "backups": []}, "a second run has nothing to do"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inventory=inventories(), now=st.integers(-20_000, 20_000))
def test_no_clock_makes_sets_expire(sets: Rules, inventory: Json, now: int) -> None:
    """While no set is added, the passage of time removes nothing that was kept."""
    kept = sets.call("plan", inventory, KEEP)["kept"]
    assert sets.call("plan", {**inventory, "now": at(now)}, KEEP)["kept"] == kept
