"""Reads from the engine's events what a report needs.

Events quote more than people should see: `debug` messages of the SDK hold secrets in plain text, inputs and outputs
hold every value that was not marked as secret. Only operations, names and property paths leave this module, and the
inputs from which capacity is computed.

Events are defined in sdk/go/common/apitype/events.go of Pulumi.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from components.schema.policy_library import Resource, data
from operations.changes import reasons
from operations.changes.model import Action, Change, Finding
from operations.changes.volumes import with_followers

Json = Mapping[str, Any]  # of any shape

ACTIONS: Final[Mapping[str, Action]] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "delete": "delete",
    # The steps of one replacement. Their selection and order depend on the provider.
    **dict.fromkeys(("replace", "create-replacement", "delete-replaced", "import-replacement"), "replace"),
}

REFRESHED: Final = "resOutputsEvent"
"""The event with the findings of a refresh."""

_COLOR: Final = re.compile(r"<\{%.*?%\}>")  # sdk/go/common/diag/colors
_GENERAL: Final = re.compile("preview failed|update failed|an unhandled error occurred: .*")
"""Errors that only report that there was another error."""


@dataclass(frozen=True)
class Observed:
    """The content of the events of one operation."""

    changes: tuple[Change, ...]
    unchanged: int
    findings: tuple[Finding, ...]
    errors: tuple[str, ...]
    before: Mapping[str, Json] = field(repr=False)
    """Inputs by URN of every existing resource."""
    after: Mapping[str, Json] = field(repr=False)
    """Inputs by URN of every resource after the update."""


def observe(events: Iterable[Json], *, steps: str = "resourcePreEvent") -> Observed:
    """Read events. `steps` is the event that holds the operations: for a refresh it is `resOutputsEvent`."""
    changes: dict[str, Change] = {}
    same: set[str] = set()
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    findings: list[Finding] = []
    errors: list[str] = []
    for event in events:
        if steps in event:
            step = event[steps]["metadata"]
            if not _is_object(step):
                continue
            urn = step["urn"]
            for states, key in ((before, "old"), (after, "new")):
                if (state := step.get(key)) and not (key == "new" and step["op"] in {"delete", "delete-replaced"}):
                    states[urn] = state.get("inputs") or {}
            action = ACTIONS.get(step["op"])
            if action and not (steps == REFRESHED and _is_of_the_server(step)):
                changes[urn] = _change(step, action, changes.get(urn))
            else:
                same.add(urn)
        elif "policyEvent" in event:
            findings.append(_finding(event["policyEvent"]))
        elif event.get("diagnosticEvent", {}).get("severity") == "error":
            errors.append(_plain(event["diagnosticEvent"]["message"]))
    return Observed(
        # The order of the engine varies from run to run.
        changes=with_followers([change for _, change in sorted(changes.items())], before),
        unchanged=len(same - changes.keys()),
        findings=tuple(sorted(findings, key=lambda finding: (finding.urn, finding.policy, finding.message))),
        errors=tuple(error for error in dict.fromkeys(errors) if not _GENERAL.fullmatch(error)),
        before=before,
        after=after,
    )


def _is_object(step: Json) -> bool:
    """Whether a resource exists outside Pulumi: components, providers and the stack itself do not."""
    state = step.get("new") or step.get("old") or {}
    return bool(state.get("custom")) and not step["type"].startswith("pulumi:")


def _change(step: Json, action: Action, known: Change | None) -> Change:
    old, new = ((step.get(key) or {}).get("inputs") or {} for key in ("old", "new"))
    because = reasons.real(step["type"], _named(step), old, new, replaces=action == "replace")
    if known and known.action == "replace":
        return known if known.because else known.model_copy(update={"because": because})
    return Change(
        urn=step["urn"],
        action=action,
        because=because if action in {"update", "replace"} else (),
        holds_data=holds_data(step["type"], old),
    )


def holds_data(token: str, inputs: Json) -> bool:
    """Whether a resource of this type token holds data. Without its inputs, that is what most of its kind do."""
    resource = Resource(type=token, name="", props=dict(inputs))
    return data.holds_data(resource) if inputs else resource.kind in data.KINDS and not resource.partial


def _named(step: Json) -> Sequence[str]:
    """The changed properties, as the provider names them."""
    detailed = step.get("detailedDiff") or {}
    return (
        sorted(step.get("keys") or ())
        or sorted(path for path, difference in detailed.items() if difference["diffKind"].endswith("-replace"))
        or sorted(detailed)  # the order of the engine varies from run to run
        or step.get("diffs")
        or ()
    )


def _is_of_the_server(step: Json) -> bool:
    """Whether a refresh found only fields that the API server itself maintains."""
    named = _named(step)
    return step["op"] == "update" and bool(named) and not reasons.real(step["type"], named, {}, {}, replaces=False)


def _finding(event: Json) -> Finding:
    # The first line is the policy's description, the rest is the finding.
    description, _, message = _plain(event["message"]).partition("\n")
    return Finding(
        policy=event["policyName"],
        level=event["enforcementLevel"],
        severity=event.get("severity", ""),
        urn=event.get("resourceUrn", ""),
        message=message.strip() or description,
    )


def _plain(text: str) -> str:
    return _COLOR.sub("", text).strip()
