from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.plugins.errors import PluginError
from sandbox.plugins.properties import UNKNOWN, Properties, Secret
from sandbox.plugins.random.bcrypt import bcrypt_hash
from sandbox.plugins.random.characters import SPECIAL
from sandbox.plugins.random.kinds import KINDS_BY_TOKEN, Kind
from sandbox.plugins.random.provider import check, complete, differences


def kind(name: str) -> Kind:
    return KINDS_BY_TOKEN[f"random:index/random{name}:Random{name}"]


def drawn(inputs: Properties) -> str:
    return str(kind("String").generate(complete(kind("String"), inputs)).outputs["result"])


@given(
    st.fixed_dictionaries({name: st.integers(0, 4) for name in ("minLower", "minUpper", "minNumeric", "minSpecial")}),
    st.integers(0, 8),
    st.sets(st.sampled_from(["lower", "upper", "numeric", "special"]), min_size=1),
)
def test_a_string_has_its_length_its_minimums_and_only_allowed_characters(
    minimums: dict[str, int], more: int, allowed: set[str]
) -> None:
    length = max(1, sum(minimums.values()) + more)
    flags = {name: name in allowed for name in ("lower", "upper", "numeric", "special")}
    result = drawn({"length": length, **minimums, **flags})
    counts = Counter(
        "lower" if c.islower() else "upper" if c.isupper() else "numeric" if c.isdigit() else "special" for c in result
    )
    assert len(result) == length
    for name in flags:
        least = minimums[f"min{name.capitalize()}"]
        assert counts[name] >= least
        if name not in allowed:
            assert counts[name] == least


def test_minimum_characters_are_shuffled() -> None:
    results = [drawn({"length": 20, "minNumeric": 1, "numeric": False}) for _ in range(50)]
    assert len({next(index for index, c in enumerate(result) if c.isdigit()) for result in results}) > 5


def test_every_allowed_character_is_used() -> None:
    assert set(drawn({"length": 5000, "lower": False, "upper": False, "numeric": False})) == set(SPECIAL)
    only: Properties = {"length": 500, "lower": False, "upper": False, "numeric": False, "overrideSpecial": "ab"}
    assert set(drawn(only)) == {"a", "b"}


def test_both_ends_of_a_range_are_used() -> None:
    integer = kind("Integer")
    results = {integer.generate({"min": -1, "max": 1, "seed": None}).outputs["result"] for _ in range(200)}
    assert results == {-1, 0, 1}


@pytest.mark.parametrize(
    ("name", "inputs", "property_"),
    [
        ("Password", {}, "length"),
        ("Password", {"length": "12"}, "length"),
        ("Password", {"length": True}, "length"),
        ("Password", {"length": 12, "lenght": 13}, "lenght"),
        ("Password", {"length": 12, "minLower": -1}, "minLower"),
        ("Password", {"length": 3, "minLower": 2, "minUpper": 2}, "length"),
        ("Password", {"length": 12, "number": True, "numeric": False}, "number"),
        ("Password", {"length": 12, "keepers": "epoch"}, "keepers"),
        ("Password", {"length": Secret(0)}, "length"),
        ("Integer", {"min": 2, "max": 1}, "min"),
        ("Integer", {"min": 1, "max": 2, "seed": "x"}, "seed"),
        ("Bytes", {"length": 0}, "length"),
        ("Id", {"byteLength": 0}, "byteLength"),
    ],
)
def test_an_invalid_input_is_reported(name: str, inputs: Properties, property_: str) -> None:
    assert [key for key, _ in check(kind(name), inputs)] == [property_]


def test_all_invalid_inputs_are_reported_together() -> None:
    assert {key for key, _ in check(kind("Integer"), {"min": "1", "step": 2})} == {"min", "step", "max"}


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Password", {"length": 4, "minLower": 4}),
        ("Password", {"length": UNKNOWN, "minLower": 4}),
        ("Password", {"length": 12, "keepers": UNKNOWN}),
        ("Integer", {"min": 3, "max": 3}),
        ("Uuid", {"keepers": {"epoch": "1"}}),
    ],
)
def test_valid_inputs_pass(name: str, inputs: Properties) -> None:
    assert check(kind(name), inputs) == []


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"length": 8}, {"length": 8, "lower": True, "minSpecial": 0}, set()),
        ({"length": 8, "number": False}, {"length": 8, "numeric": False}, set()),
        ({"length": 8}, {"length": 9, "special": False}, {"length", "special"}),
        ({"length": 8}, {"length": UNKNOWN}, {"length"}),
        ({"length": Secret(8)}, {"length": 8}, set()),
        ({"length": 8, "keepers": {"a": "1"}}, {"length": 8, "keepers": {"a": "2", "b": None}}, {"keepers.a"}),
        ({"length": 8, "keepers": {}}, {"length": 8}, set()),
        ({"length": 8, "keepers": {"a": "1"}}, {"length": 8, "keepers": UNKNOWN}, {"keepers", "keepers.a"}),
    ],
)
def test_only_a_change_of_meaning_is_a_difference(old: Properties, new: Properties, paths: set[str]) -> None:
    assert set(differences(kind("String"), old, new)) == paths


@pytest.mark.parametrize(
    ("name", "import_id"),
    [
        ("String", ""),
        ("Bytes", "not base64!"),
        ("Id", "p,"),
        ("Integer", "4"),
        ("Integer", "4,1,nine"),
        ("Uuid", "1234"),
    ],
)
def test_an_invalid_import_id_is_an_error_with_the_format(name: str, import_id: str) -> None:
    with pytest.raises(PluginError, match="import id"):
        kind(name).parse(import_id)


@pytest.mark.parametrize("name", ["Bytes", "Id", "Uuid", "String"])
def test_an_imported_value_equals_the_generated_one(name: str) -> None:
    inputs = complete(kind(name), {"length": 9, "byteLength": 9})
    made = kind(name).generate({key: value for key, value in inputs.items() if key in kind(name).fields})
    found = kind(name).parse(made.id)
    assert (found.id, found.outputs) == (made.id, made.outputs)


def test_a_password_cannot_be_read_from_its_id_and_is_hashed() -> None:
    made = kind("Password").generate(complete(kind("Password"), {"length": 12}))
    assert made.id == "none"
    assert kind("Password").secret == {"result", "bcryptHash"}
    assert str(made.outputs["bcryptHash"]).startswith("$2a$10$")


def test_the_hash_is_bcrypt() -> None:
    # A published vector of the algorithm: OpenBSD's, also in golang.org/x/crypto/bcrypt's tests.
    assert (
        bcrypt_hash("allmine", salt="XajjQvNhvvRt5GSeFk1xFe")
        == "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"
    )
