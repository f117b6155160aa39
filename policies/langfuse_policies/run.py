"""What the policies of one pack share while a stack is judged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from langfuse_policies.resources import Resource, Stack
from langfuse_policies.rules import Finding, Rule
from langfuse_policies.settings import SettingsError
from langfuse_policies.waivers import Ledger, place_of


@dataclass
class Run:
    """One judgement of one stack."""

    ledger: Ledger
    #: Policies that the configuration doesn't disable, by name.
    enabled: set[str] = field(default_factory=set)
    #: URN -> path -> rules that asked for the value while it was unknown.
    unknown: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    #: The resource that is judged, and the stack when all are known.
    resource: Resource = field(default_factory=lambda: Resource("", "", {}))
    stack: Stack = field(default_factory=lambda: Stack([]))
    _misconfigured: set[str] = field(default_factory=set)

    def judge(self, rule: Rule, subject: Resource | Stack, config: Mapping[str, object]) -> Iterator[Finding]:
        """The findings that nobody waived."""
        if rule.id in self._misconfigured:
            return
        try:
            settings = rule.settings.read(config) if rule.settings else None
        except SettingsError as error:
            self._misconfigured.add(rule.id)
            yield Finding("", f"the configuration of this policy can't be used: {rule.id}: {error}")
            return
        findings = rule.on(subject, settings)
        for resource in subject.resources if isinstance(subject, Stack) else [subject]:
            for path in resource.unknown_paths:
                self.unknown.setdefault(resource.urn, {}).setdefault(path, set()).add(rule.id)
            resource.unknown_paths.clear()
        yield from (one for one in findings if not self.ledger.waives(rule.id, _place(one, subject)))


def _place(finding: Finding, subject: Resource | Stack) -> str:
    """What the patterns of waivers are compared with."""
    if isinstance(subject, Resource):
        return place_of(subject)
    at_fault = next((resource for resource in subject.resources if resource.urn == finding.urn), None)
    return place_of(at_fault) if at_fault else f"{subject.name}/"
