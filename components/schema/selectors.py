"""Whether a label selector of Kubernetes matches (apimachinery/pkg/labels/selector.go)."""

from collections.abc import Mapping
from typing import Any


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector, as JSON, matches labels. An empty one matches everything."""
    selector = selector or {}
    equal = (selector.get("matchLabels") or {}).items() <= labels.items()
    return equal and all(_meets(expression, labels) for expression in selector.get("matchExpressions") or ())


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":  # a missing label is in no list
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False  # the API server accepts no other operator
