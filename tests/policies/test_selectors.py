"""Label selectors match as Kubernetes does, and say so when it isn't known."""

import pytest
from langfuse_policies.facts.fields import UNKNOWN, Field, Value
from langfuse_policies.facts.selectors import labels_of, matches

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "verdict"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchLabels": {"other": "web"}}, False),
        ({"matchLabels": {"app": UNKNOWN}}, None),
        ({"matchLabels": {"app": UNKNOWN, "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": [UNKNOWN]}]}, None),
        ({"matchExpressions": UNKNOWN, "matchLabels": {"app": "web"}}, None),
        (UNKNOWN, None),
    ],
)
def test_a_selector_matches(selector: Value, verdict: bool | None) -> None:
    assert matches(Field(selector), LABELS) is verdict


def test_labels_are_unknown_as_soon_as_one_is() -> None:
    assert labels_of(Field({"app": "web", "tier": UNKNOWN})) is None
    assert labels_of(Field(None)) == {}
    assert matches(Field({"matchLabels": {"app": "web"}}), None) is None
