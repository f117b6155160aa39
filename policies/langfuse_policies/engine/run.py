"""What the policies of one pack share while a stack is judged: waivers, and which values were unknown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from langfuse_policies.engine.policy import Finding, Policy
from langfuse_policies.engine.settings import Settings
from langfuse_policies.engine.waivers import Ledger, place_of
from langfuse_policies.facts.resources import Resource, Stack


@dataclass(frozen=True)
class Judgement:
    """What one policy found in a resource or a stack."""

    findings: Sequence[Finding]
    #: URN and path of each unknown value that the policy tried to read.
    unknown: Sequence[tuple[str, str]]


def judge(policy: Policy, subject: Resource | Stack, settings: Settings | None) -> Judgement:
    """Judges a resource or a stack. Changes nothing but the notes on the subject's own unknown values."""
    findings = policy.on(subject, settings)
    unknown = []
    for resource in subject.resources if isinstance(subject, Stack) else [subject]:
        unknown += [(resource.urn, path) for path in resource.unknown_paths]
        resource.unknown_paths.clear()
    return Judgement(findings, unknown)


@dataclass
class Run:
    """One judgement of one stack."""

    #: The policies of the pack, by name.
    policies: Mapping[str, Policy]
    ledger: Ledger
    #: Why the file of waivers can't be used, if it can't.
    unreadable: str = ""
    #: Names of the policies that are not disabled.
    enabled: set[str] = field(default_factory=set)
    #: URN -> path -> names of the policies that tried to read the value while it was unknown.
    unknown: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def report(self, policy: Policy, subject: Resource | Stack, judgement: Judgement) -> Iterator[Finding]:
        """Takes note of a judgement, and yields the findings that are not waived."""
        for urn, path in judgement.unknown:
            self.unknown.setdefault(urn, {}).setdefault(path, set()).add(policy.id)
        yield from (one for one in judgement.findings if not self.ledger.waives(policy.id, _place(one, subject)))

    def waivers_hold(self, _stack: Resource) -> Iterator[Finding]:
        """Yields waivers that are malformed or expired."""
        if self.unreadable:
            yield Finding("", self.unreadable)
        for waiver in self.ledger.expired():
            if waiver.policy in self.policies:
                yield Finding("", f"expired: {waiver}. Fix the finding, or have the owner renew the date")

    def waivers_used(self, stack: Stack) -> Iterator[Finding]:
        """Yields waivers that matched no finding."""
        for waiver in self.ledger.unused(stack.name, self.enabled):
            yield Finding("", f"matches no finding: {waiver}. Remove it")

    def waived(self, _stack: Stack) -> Iterator[Finding]:
        """Yields waivers that matched a finding."""
        for waiver in sorted(self.ledger.used, key=str):
            yield Finding("", str(waiver))

    def not_checked(self, _stack: Stack) -> Iterator[Finding]:
        """Yields values that policies tried to read and that are not known yet."""
        for urn, paths in sorted(self.unknown.items()):
            for path, policies in sorted(paths.items()):
                yield Finding("", f"{path} is not known yet, for {', '.join(sorted(policies))}", urn)


def _place(finding: Finding, subject: Resource | Stack) -> str:
    """Returns what the patterns of waivers are compared with."""
    if isinstance(subject, Resource):
        return place_of(subject)
    at_fault = next((resource for resource in subject.resources if resource.urn == finding.urn), None)
    return place_of(at_fault) if at_fault else f"{subject.name}/"
