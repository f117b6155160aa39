"""Parses the `pulumi.com/waitFor` annotation: `condition=Type[=Status]`, `jsonpath={.path}[=value]`, or a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.objects import Object, condition, number, text
from sandbox.plugins.kubernetes.readiness import READY, Check, Verdict, View, waiting
from sandbox.plugins.properties import Property

WAIT_FOR: Final = "pulumi.com/waitFor"
STEP: Final = re.compile(
    r"""\.(?P<name>[\w-]+)
      | \[\s*(?P<index>-?\d+|\*)\s*\]
      | \[\s*(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\s*\]
      | \[\?\s*\(?\s*@(?P<left>(?:\.[\w-]+)+)\s*
          (?:(?P<operator>==|!=)\s*(?P<right>"[^"]*"|'[^']*'|[\w.+-]+)\s*)?
        \)?\s*\]
    """,
    re.VERBOSE,
)


def parse(written: str) -> Check:
    """Return the check of an annotation. Raises PluginError for an invalid annotation."""
    try:
        listed = json.loads(written)
    except ValueError:
        listed = [written]
    expressions = listed if isinstance(listed, list) else [written]
    if not expressions:
        raise PluginError(f"{WAIT_FOR}: at least one condition must be specified")
    checks = [_parse_one(str(expression)) for expression in expressions]

    def check(live: Object, view: View) -> Verdict:
        verdicts = [one(live, view) for one in checks]
        return next((verdict for verdict in verdicts if not verdict.ready), READY)

    return check


def _parse_one(expression: str) -> Check:
    kind, _, rest = expression.partition("=")
    if kind == "condition" and rest:
        return _has_condition(rest)
    if kind == "jsonpath" and rest:
        return _matches(rest)
    raise PluginError(f'{WAIT_FOR}: expected a "jsonpath=" or "condition=" prefix, got "{expression}"')


def _has_condition(expression: str) -> Check:
    kind, _, expected = expression.partition("=")

    def check(live: Object, _view: View) -> Verdict:
        found = text(condition(live, kind), "status")
        if found.lower() == (expected or "True").lower() and not _is_outdated(live):
            return READY
        message = text(condition(live, kind), "message")
        return waiting(
            f"Waiting for condition {expression} (found: {found or 'none'})", *([message] if message else [])
        )

    return check


def _matches(expression: str) -> Check:
    path, _, expected = expression.rpartition("}")
    if not path.startswith("{"):
        raise PluginError(
            f"{WAIT_FOR}: {expression} should be wrapped in brackets {{ ... }}, such as {{.status.phase}}=Bound"
        )
    if expected and (not expected.startswith("=") or expected == "="):
        raise PluginError(f"{WAIT_FOR}: the format is {{.path}}=value or {{.path}}, got {expression}")
    steps = _steps(path[1:].strip().removeprefix("$"))

    def check(live: Object, _view: View) -> Verdict:
        found = list(_select([live], steps))
        matched = bool(found) and (not expected or _written(found[0]) == expected[1:])
        if matched and not _is_outdated(live):
            return READY
        return waiting(f"Waiting for {expression} (found: {_written(found[0]) if found else 'nothing'})")

    return check


def _steps(path: str) -> list[re.Match[str]]:
    steps: list[re.Match[str]] = []
    position = 0
    while position < len(path):
        step = STEP.match(path, position)
        if step is None:
            raise PluginError(
                f'{WAIT_FOR}: the stand-in plugin does not support "{path[position:]}" in {{{path}}}; it supports '
                '.field, ["field"], [0], [*] and [?(@.field=="value")]'
            )
        steps.append(step)
        position = step.end()
    return steps


def _select(values: list[Property], steps: list[re.Match[str]]) -> Iterator[Property]:
    if not steps:
        yield from values
        return
    for value in values:
        yield from _select(list(_take(value, steps[0])), steps[1:])


def _take(value: Property, step: re.Match[str]) -> Iterator[Property]:
    field = step["name"] or step["quoted"]
    if field is not None:
        if isinstance(value, dict) and field in value:
            yield value[field]
    elif step["left"] is not None:
        items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        yield from (item for item in items if _passes(item, step))
    elif isinstance(value, list):
        if step["index"] == "*":
            yield from value
        elif -len(value) <= int(step["index"]) < len(value):
            yield value[int(step["index"])]


def _passes(item: Property, step: re.Match[str]) -> bool:
    found: Property = item
    for field in step["left"].strip(".").split("."):
        if not isinstance(found, dict) or field not in found:
            return step["operator"] == "!="
        found = found[field]
    if step["operator"] is None:
        return True
    return (_written(found) == step["right"].strip("'\"")) == (step["operator"] == "==")


def _written(value: Property) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_outdated(live: Object) -> bool:
    observed = number(live, "status", "observedGeneration", default=-1)
    return 0 <= observed < number(live, "metadata", "generation")
