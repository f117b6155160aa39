"""Creates reports: of an update, of changes made outside Pulumi, and of the deployed state."""

from collections.abc import Sequence
from typing import Final

from components.schema.environment import PROJECT
from components.schema.redaction import Redaction
from components.settings import documents
from components.settings.profiles import PROFILES
from operations.changes.capacity import requests
from operations.changes.events import REFRESHED, observe
from operations.changes.guard import Acknowledgement, judge
from operations.changes.model import Capacity, Report
from operations.errors import OperationError
from operations.pulumi import CHECKOUT, Events, Pulumi

POLICIES: Final = CHECKOUT / "policies"
PACKS: Final = ("security", "reliability")


def preview(
    pulumi: Pulumi, known: Sequence[Acknowledgement], *, packs: Sequence[str] = (), allow_unused: bool = False
) -> Report:
    """Preview an update of a stack.

    Args:
        pulumi: The stack.
        known: Intended losses.
        packs: Flags that name policy packs and their configuration.
        allow_unused: Accept acknowledgements that no change needs, as when an update runs a second time.
    """
    report = _report(pulumi, pulumi.events("preview", *packs), steps="resourcePreEvent")
    guard = judge(pulumi.stack, report.changes, known)
    if allow_unused or report.outcome != "fine":  # a preview that stopped does not show every change
        guard = guard.model_copy(update={"unused": ()})
    refused = report.outcome == "fine" and (guard.refused or guard.unused)
    return report.model_copy(update={"guard": guard, **({"outcome": "refused"} if refused else {})})


def drift(pulumi: Pulumi) -> Report:
    """Find changes made outside Pulumi, whoever made them."""
    report = _report(pulumi, pulumi.events("refresh", "--preview-only"), steps=REFRESHED)
    outcome = "refused" if report.changes and not report.problems else report.outcome
    return report.model_copy(update={"of": "drift", "outcome": outcome})


def deployed(pulumi: Pulumi, packs: Sequence[str]) -> Report:
    """Check the state of a deployed stack with policy packs. The state has no unknown values."""
    report = _report(pulumi, pulumi.events("policy", "analyze", *packs), steps="")
    return report.model_copy(update={"of": "state"})


def policy_flags(profile: str) -> Sequence[str]:
    """Flags for both packs with the configuration of the profile. Preview environments use that of dev."""
    config = POLICIES / "config" / f"{'dev' if profile == 'preview' else profile}.json"
    documents.read_mapping(config)  # the error of the CLI has no line number
    return [flag for pack in PACKS for flag in (f"--policy-pack={POLICIES / pack}", f"--policy-pack-config={config}")]


def profile_of(pulumi: Pulumi) -> str:
    """The profile of a stack. It is the name of the stack unless the stack file sets another."""
    profile = pulumi.settings().get(f"{PROJECT}:profile", pulumi.stack)
    if not isinstance(profile, str) or profile not in PROFILES:
        raise OperationError(f'{PROJECT}:profile: "{profile}" is not a profile; choose one of {", ".join(PROFILES)}')
    return profile


def _report(pulumi: Pulumi, done: Events, *, steps: str) -> Report:
    seen = observe(done.events, steps=steps)
    stopped = any(finding.stops for finding in seen.findings)
    problems = seen.errors
    if done.exit_code and not problems and not stopped:
        problems = (done.complaint.removeprefix("error: ") or f"pulumi ended with exit code {done.exit_code}",)
    hide = Redaction(())
    if seen.findings or problems:
        hide = Redaction(pulumi.secrets(), public=[f"{PROJECT}-{pulumi.stack}", *seen.before, *seen.after])
    return Report(
        stack=pulumi.stack,
        outcome="failed" if problems else "refused" if stopped else "fine",
        changes=seen.changes,
        unchanged=seen.unchanged,
        capacity=Capacity(before=requests(seen.before), after=requests(seen.after)),
        findings=tuple(finding.model_copy(update={"message": hide(finding.message)}) for finding in seen.findings),
        problems=tuple(map(hide, problems)),
    )
