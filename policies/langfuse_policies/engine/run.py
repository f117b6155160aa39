"""What the policies of one pack share while a stack is judged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from langfuse_policies.engine.policy import Finding, Rule
from langfuse_policies.engine.settings import Settings
from langfuse_policies.engine.waivers import Ledger, place_of
from langfuse_policies.facts.resources import Resource, Stack


@dataclass
class Run:
    """One judgement of one stack."""

    #: The rules of the pack, by name.
    rules: Mapping[str, Rule]
    ledger: Ledger
    #: Why the file of waivers can't be used, if it can't.
    unreadable: str = ""
    #: Policies that the configuration doesn't disable, by name.
    enabled: set[str] = field(default_factory=set)
    #: URN -> path -> rules that asked for the value while it was unknown.
    unknown: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def judge(self, rule: Rule, subject: Resource | Stack, settings: Settings | None) -> Iterator[Finding]:
        """The findings that nobody waived."""
        findings = rule.on(subject, settings)
        for resource in subject.resources if isinstance(subject, Stack) else [subject]:
            for path in resource.unknown_paths:
                self.unknown.setdefault(resource.urn, {}).setdefault(path, set()).add(rule.id)
            resource.unknown_paths.clear()
        yield from (one for one in findings if not self.ledger.waives(rule.id, _place(one, subject)))

    def waivers_hold(self, _stack: Resource, _settings: None) -> Iterator[Finding]:
        """Waivers that are malformed or expired."""
        if self.unreadable:
            yield Finding("", self.unreadable)
        for waiver in self.ledger.expired():
            if waiver.rule in self.rules:
                yield Finding("", f"expired: {waiver}. Fix the fault, or have its owner renew the date")

    def waivers_used(self, stack: Stack, _settings: None) -> Iterator[Finding]:
        """Waivers that nothing needed."""
        for waiver in self.ledger.unused(stack.name, self.enabled):
            yield Finding("", f"nothing needs it any more: {waiver}. Remove it")

    def waived(self, _stack: Stack, _settings: None) -> Iterator[Finding]:
        """Waivers that something needed."""
        for waiver in sorted(self.ledger.used, key=str):
            yield Finding("", str(waiver))

    def not_checked(self, _stack: Stack, _settings: None) -> Iterator[Finding]:
        """Values that rules asked for and that nobody knows yet."""
        for urn, paths in sorted(self.unknown.items()):
            for path, rules in sorted(paths.items()):
                yield Finding("", f"{path} is not known yet, for {', '.join(sorted(rules))}", urn)


def _place(finding: Finding, subject: Resource | Stack) -> str:
    """What the patterns of waivers are compared with."""
    if isinstance(subject, Resource):
        return place_of(subject)
    at_fault = next((resource for resource in subject.resources if resource.urn == finding.urn), None)
    return place_of(at_fault) if at_fault else f"{subject.name}/"
