"""Label selectors: which labels they match, as far as they are known."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Stack
from langfuse_policies.facts.workloads import Pod, pods_of

Labels = Mapping[str, str]


def labels_of(field: Field) -> dict[str, str] | None:
    """Labels as plain text; None while any of them is unknown."""
    if not field.known:
        return None
    found = {key: value.text for key, value in field.entries() if value.known}
    if len(found) < field.size:
        return None
    return {key: value for key, value in found.items() if value is not None}


def matches(selector: Field, labels: Labels | None) -> bool | None:
    """Whether a LabelSelector (`matchLabels`, `matchExpressions`) matches; None when it can't be known.

    An empty selector matches everything, as in policies and budgets; the caller handles an absent one.
    """
    if labels is None or not selector.known:
        return None
    verdicts = [equal(selector["matchLabels"], labels)]
    if not selector["matchExpressions"].known:
        verdicts.append(None)
    verdicts += [_meets(expression, labels) for expression in selector["matchExpressions"]]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def equal(wanted: Field, labels: Labels | None) -> bool | None:
    """Whether a plain selector, as in a Service, matches; None when it can't be known."""
    if labels is None or not wanted.known:
        return None
    verdicts = [
        None if not value.known else key in labels and value.equals(labels[key]) for key, value in wanted.entries()
    ]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _meets(expression: Field, labels: Labels) -> bool | None:
    key, operator = expression["key"].text, expression["operator"].text
    if key is None or operator is None:
        return None
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) is (operator == "Exists")
    values = expression["values"]
    if not values.known or any(not value.known for value in values):
        return None
    return (labels.get(key) in values.texts) is (operator == "In")


def pods_by_namespace(stack: Stack) -> dict[str, list[tuple[Pod, Labels | None]]]:
    """The pods of a stack with their labels, which are None while unknown; under "" those whose namespace is."""
    found: dict[str, list[tuple[Pod, Labels | None]]] = {}
    for pod in pods_of(stack):
        found.setdefault(pod.resource.namespace, []).append((pod, labels_of(pod.labels)))
    return found


Item = TypeVar("Item")


class Selected(Generic[Item]):
    """An index of objects with a label selector, by the labels that they may select."""

    def __init__(self) -> None:
        self.all: list[Item] = []
        self._by_label: dict[tuple[str, str], list[Item]] = {}
        self._others: list[Item] = []

    def add(self, selector: Field, item: Item) -> None:
        """Adds an object; its selector is a LabelSelector, or plain labels as in a Service."""
        self.all.append(item)
        required = list(_required(selector))
        if not required:
            self._others.append(item)
            return
        # The rarest: a label that everything has, such as the instance's, tells nothing apart.
        for label in min(required, key=self._found):
            self._by_label.setdefault(label, []).append(item)

    def _found(self, labels: Iterable[tuple[str, str]]) -> int:
        return max((len(self._by_label.get(label, ())) for label in labels), default=0)

    def candidates(self, labels: Labels | None) -> list[Item]:
        """All objects that may select these labels, and some that do not."""
        if labels is None:
            return self.all
        return [*self._others, *(item for label in labels.items() for item in self._by_label.get(label, ()))]


def _required(selector: Field) -> Iterator[set[tuple[str, str]]]:
    """Sets of labels: every selected object certainly has one of each set."""
    plain = selector if selector["matchLabels"].absent else selector["matchLabels"]
    for key, value in plain.entries():
        if value.text is not None:
            yield {(key, value.text)}
    for expression in selector["matchExpressions"]:
        name, values = expression["key"].text, expression["values"]
        if name is not None and expression["operator"].equals("In") and len(values.texts) == values.size > 0:
            yield {(name, value) for value in values.texts}
