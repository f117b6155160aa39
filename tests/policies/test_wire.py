"""What the engine sends is read as the SDK reads it, in one pass."""

from collections.abc import Mapping, Sequence

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from langfuse_policies.engine.protocol import analyzer_pb2
from langfuse_policies.engine.wire import resource_of
from langfuse_policies.facts.fields import UNKNOWN, Value
from pulumi_policy import proxy
from pulumi_policy.deserialize import SPECIAL_ASSET_SIG, SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties

UNKNOWNS = sorted(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.sampled_from(UNKNOWNS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.text(), inner),
        inner.map(lambda value: {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": value}),
    ),
    max_leaves=15,
)


def struct(properties: dict[str, object]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(properties)  # type: ignore[arg-type]  # any JSON
    return made


def by_the_sdk(value: object) -> Value:
    """What a policy of the SDK reads: its proxies raise where a value is unknown."""
    if isinstance(value, Mapping):
        return {key: _of(value, key) for key in list(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_of(value, index) for index in range(len(value))]
    assert value is None or isinstance(value, bool | float | str)
    return value


def _of(container: Mapping[str, object] | Sequence[object], key: str | int) -> Value:
    try:
        return by_the_sdk(container[key])  # type: ignore[index]  # a str for mappings, an int for sequences
    except proxy.UnknownValueError:
        return UNKNOWN


@given(properties=st.dictionaries(st.text(), VALUES))
def test_it_is_read_as_the_sdk_reads_it(properties: dict[str, object]) -> None:
    sent = struct(properties)
    expected = by_the_sdk(proxy.unknown_checking_proxy(deserialize_properties(json_format.MessageToDict(sent))))
    assert resource_of(analyzer_pb2.AnalyzeRequest(properties=sent)).props == expected


@pytest.mark.parametrize("mark", UNKNOWNS)
def test_what_is_unknown_is_no_text(mark: str) -> None:
    sent = struct({"a": [{"b": mark}]})
    assert resource_of(analyzer_pb2.AnalyzeRequest(properties=sent)).props == {"a": [{"b": UNKNOWN}]}


def test_a_file_is_no_mapping() -> None:
    sent = struct({"script": {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "text": "echo"}})
    assert resource_of(analyzer_pb2.AnalyzeRequest(properties=sent)).props == {"script": "<asset>"}


def test_options_and_parent_come_along() -> None:
    options = analyzer_pb2.AnalyzerResourceOptions(protect=True, ignoreChanges=["spec.replicas"], parent="urn:parent")
    alone = resource_of(analyzer_pb2.AnalyzeRequest(type="t", name="n", urn="urn:n", options=options))
    in_stack = resource_of(
        analyzer_pb2.AnalyzerResource(type="t", name="n", urn="urn:n", options=options, parent="urn:parent")
    )
    assert alone == in_stack
    assert (alone.protect, alone.ignore_changes, alone.parent) == (True, ("spec.replicas",), "urn:parent")
