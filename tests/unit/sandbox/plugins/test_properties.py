from __future__ import annotations

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from sandbox.plugins.properties import (
    OUTPUT_SIGNATURE,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_TOKENS,
    Properties,
    Property,
    Secret,
    conceal,
    contains_secret,
    contains_unknown,
    decode,
    encode,
    encode_value,
    reveal,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)
wrapped = st.recursive(
    plain | st.just(UNKNOWN) | plain.map(Secret),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), wrapped, max_size=4))
def test_properties_are_encoded_and_decoded(properties: Properties) -> None:
    wire = struct_pb2.Struct.FromString(encode(properties).SerializeToString())
    assert decode(wire) == properties


@pytest.mark.parametrize("token", sorted(UNKNOWN_TOKENS))
def test_every_kind_of_unknown_is_unknown(token: str) -> None:
    assert decode(encode({"key": [token]})) == {"key": [UNKNOWN]}


def test_whole_numbers_are_integers_and_others_are_not() -> None:
    assert [type(value) for value in decode(encode({"a": 80.0, "b": 0.5, "c": 1e300})).values()] == [int, float, float]


def test_an_output_value_is_its_value_with_its_secretness() -> None:
    wire = encode(
        {
            "unknown": {SIGNATURE: OUTPUT_SIGNATURE},
            "known": {SIGNATURE: OUTPUT_SIGNATURE, "value": 1, "dependencies": ["urn"]},
            "secret": {SIGNATURE: OUTPUT_SIGNATURE, "value": 1, "secret": True},
        }
    )
    assert decode(wire) == {"unknown": UNKNOWN, "known": 1, "secret": Secret(1)}


def test_an_asset_stays_as_it_is() -> None:
    asset: Property = {SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "text": "content", "hash": "0"}
    assert decode(encode({"asset": asset})) == {"asset": asset}


def test_values_that_cannot_be_encoded_are_rejected() -> None:
    with pytest.raises(TypeError, match="object"):
        encode_value(object())  # type: ignore[arg-type]  # the point of the test


def test_a_secret_does_not_show_its_value() -> None:
    assert "hunter2" not in f"{Secret('hunter2')!r} {Secret('hunter2')} {[Secret({'a': 'hunter2'})]}"


@given(wrapped)
def test_revealing_leaves_no_secret_and_keeps_unknowns(value: Property) -> None:
    revealed = reveal(value)
    assert not contains_secret(revealed)
    assert contains_unknown(revealed) == contains_unknown(value)


@given(wrapped)
def test_concealing_what_was_revealed_hides_the_same_parts(value: Property) -> None:
    concealed = conceal(reveal(value), value)
    assert contains_secret(concealed) == contains_secret(value)
    assert reveal(concealed) == reveal(value)


def test_a_secret_item_hides_a_list_that_changed_its_length() -> None:
    assert conceal({"args": ["a", "b", "c"]}, {"args": ["a", Secret("b")]}) == {"args": Secret(["a", "b", "c"])}


def test_fields_that_the_server_added_are_not_secret() -> None:
    assert conceal({"data": "x", "kind": "Secret"}, {"data": Secret("x")}) == {"data": Secret("x"), "kind": "Secret"}
