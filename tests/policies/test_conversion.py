"""Properties as the engine sends them become plain values, whatever marks them as secret, unknown or a file."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from langfuse_policies.engine.conversion import resource_of
from langfuse_policies.facts.fields import UNKNOWN, Value
from langfuse_policies.facts.resources import Resource
from pulumi_policy import PolicyCustomTimeouts, PolicyResourceOptions, ResourceValidationArgs, proxy
from pulumi_policy.deserialize import SPECIAL_ASSET_SIG, SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, deserialize_properties

UNKNOWNS = sorted(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))
SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)
OPTIONS = PolicyResourceOptions(
    protect=True,
    ignore_changes=["spec.replicas"],
    delete_before_replace=None,
    aliases=[],
    custom_timeouts=PolicyCustomTimeouts(0, 0, 0),
    additional_secret_outputs=[],
    parent="urn:parent",
)


def converted(sent: dict[str, Any], *, keeps_secrets: bool = False) -> Resource:
    """What a policy reads of properties that the engine sends; a remedy gets them with their secrets kept."""
    struct = struct_pb2.Struct()
    struct.update(sent)
    properties = deserialize_properties(json_format.MessageToDict(struct), keeps_secrets)
    return resource_of(
        ResourceValidationArgs("t", proxy.unknown_checking_proxy(properties), "urn:n", "n", OPTIONS, None)
    )


def marked(value: Value) -> Any:  # noqa: ANN401  # of any shape
    """The same with every scalar in a list marked as secret."""
    if isinstance(value, dict):
        return {key: marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [{SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": marked(item)} for item in value]
    return value


@pytest.mark.parametrize("keeps_secrets", [False, True])
@given(properties=st.dictionaries(st.text(), VALUES))
def test_values_are_read_as_they_are_also_secret_ones(*, keeps_secrets: bool, properties: dict[str, Any]) -> None:
    assert converted(properties, keeps_secrets=keeps_secrets).props == properties
    assert converted(marked(properties), keeps_secrets=keeps_secrets).props == properties


@pytest.mark.parametrize("keeps_secrets", [False, True])
@pytest.mark.parametrize("mark", UNKNOWNS)
def test_what_is_unknown_is_no_text(mark: str, *, keeps_secrets: bool) -> None:
    assert converted({"a": [{"b": mark}]}, keeps_secrets=keeps_secrets).props == {"a": [{"b": UNKNOWN}]}


def test_numbers_are_floats() -> None:
    props: Any = converted({"replicas": 3}).props
    assert isinstance(props["replicas"], float)


def test_a_file_is_no_mapping() -> None:
    sent = {"script": {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "text": "echo"}}
    assert converted(sent).props == {"script": "<StringAsset>"}


def test_options_and_parent_come_along() -> None:
    found = converted({})
    assert (found.protect, found.ignore_changes, found.parent) == (True, ("spec.replicas",), "urn:parent")
