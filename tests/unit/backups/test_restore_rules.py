"""Which set a restore takes, and what it refuses before it looks at the stores."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.backups.rules import Rules, rules

Json = dict[str, Any]

KEYS = {"encryptionKey": "aa", "salt": "bb"}
BACKUPS = [{"id": "c1", "base": None, "finished": "2026-11-01T00:00:00Z"}]
PAIR: Json = {"by": "job", "id": "c1", "chain": ["c1"], "version": "26.4.2.1"}
SET: Json = {
    "format": 1,
    "id": "s1",
    "finished": "2026-11-01T02:00:00Z",
    "langfuse": "4.16.0",
    "keys": KEYS,
    "postgres": {"server": "17.6 (Debian 17.6-1)"},
    "clickhouse": PAIR,
}


@pytest.fixture(scope="module")
def sets() -> Iterator[Rules]:
    with rules() as found:
        yield found


def test_the_newest_set_of_which_nothing_is_missing_is_taken(sets: Rules) -> None:
    def choose(id_: str = "", faults: Json | None = None, **manifests: Json | None) -> Json:
        choice: Json = sets.call("chooseSet", {"s1": SET, **manifests}, faults or {}, BACKUPS, id_)
        return {"set": choice["set"]["id"]} if "set" in choice else choice

    newer = {**SET, "id": "s2", "finished": "2026-11-02T02:00:00Z"}
    assert choose(s2=newer) == choose("s2", s2=newer) == {"set": "s2"}
    assert choose(s2={**newer, "clickhouse": {"by": "provider"}}) == {"set": "s2"}
    for broken in ({**newer, "format": 2}, None, {**newer, "clickhouse": None}, {**newer, "clickhouse": {"id": "c2"}}):
        assert choose(s2=broken) == {"set": "s1"}
    assert choose(s2=newer, faults={"s2": "verify: a file is missing"}) == {"set": "s1"}
    assert choose("s2", s2={**newer, "clickhouse": {"id": "c2"}}) == {"set": "s2"}, "named, so its faults are reported"
    assert choose("toString") == {"refusal": "there is no set toString"}
    assert choose("s2", s2=None) == {"refusal": "set s2 is not complete: it has no marker"}
    assert choose("s2", s2={**newer, "format": 2}) == {"refusal": "set s2 has format 2, and this release knows only 1"}
    assert sets.call("chooseSet", {}, {}, [], "") == {
        "refusal": "none of the 0 complete sets in the bucket can be restored"
    }


TARGET = {
    "postgres": {"store": "postgres", "langfuse": "4.16.0", "keys": KEYS, "server": "17.2"},
    "clickhouse": {"store": "clickhouse", "langfuse": "4.16.0", "keys": KEYS, "server": "26.4.1.9"},
}
REFUSED: dict[str, tuple[str, Json, Json, str]] = {
    "another key": ("postgres", {}, {"keys": {"encryptionKey": "x", "salt": "y"}}, "another ENCRYPTION_KEY (and"),
    "another salt": ("clickhouse", {}, {"keys": {**KEYS, "salt": "y"}}, "with another SALT"),
    "an older release": ("clickhouse", {}, {"langfuse": "4.15.9"}, "set langfuse:version to 4.16.0 or newer"),
    "an older major release": ("postgres", {"langfuse": "10.0.0"}, {}, "the set is of Langfuse 10.0.0"),
    "an older Postgres": ("postgres", {}, {"server": "16.9"}, "the dump is of Postgres 17.6"),
    "a newer Postgres": ("postgres", {}, {"server": "18.0"}, "then upgrade it"),
    "an older ClickHouse": ("clickhouse", {}, {"server": "26.3.9.1"}, "set langfuse:clickhouse.version"),
    "no backup": ("clickhouse", {"clickhouse": None}, {}, "no backup of ClickHouse: none was complete"),
    "a provider": ("clickhouse", {"clickhouse": {"by": "provider"}}, {}, "which its provider backed up"),
    "a gap": (
        "clickhouse",
        {"clickhouse": {**PAIR, "chain": ["c0", "c1"]}},
        {},
        "clickhouse/c0 is missing",
    ),
}


@pytest.mark.parametrize(("store", "of_set", "target", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_set_that_does_not_fit_is_refused(store: str, of_set: Json, target: Json, message: str, sets: Rules) -> None:
    assert sets.call("refusals", SET, TARGET[store], BACKUPS) == []
    assert sets.call("refusals", SET, {**TARGET[store], "langfuse": "4.17.0"}, BACKUPS) == []
    (refusal,) = sets.call("refusals", {**SET, **of_set}, {**TARGET[store], **target}, BACKUPS)
    assert message in refusal
