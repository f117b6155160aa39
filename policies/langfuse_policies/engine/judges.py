"""Judges: what `pulumi_policy` calls for one policy of a pack, and the list that they are handed over in."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pulumi_policy
from pulumi_policy import ReportViolation, ResourceValidationArgs, StackValidationArgs

from langfuse_policies.engine.conversion import resource_of, subject_of, with_metadata
from langfuse_policies.engine.policy import Finding, Policy
from langfuse_policies.engine.run import Judgement, Run, judge
from langfuse_policies.engine.settings import Settings, SettingsError
from langfuse_policies.engine.waivers import place_of
from langfuse_policies.facts.resources import Resource, Stack

Args = ResourceValidationArgs | StackValidationArgs


@dataclass
class Reading:
    """The resource or the stack of one request of the engine, and its judgements so far."""

    subject: Resource | Stack | None = None
    judgements: dict[str, Judgement] = field(default_factory=dict)


class Readings(threading.local):
    """The reading of the request that this thread answers; None outside of one."""

    current: Reading | None = None

    def subject(self, args: Args) -> Resource | Stack:
        """Returns the subject of the current request, converted once."""
        reading = self.current or Reading()
        if reading.subject is None:
            reading.subject = subject_of(args)
        return reading.subject


class Judge(Protocol):
    """One policy of a pack."""

    policy: pulumi_policy.Policy

    def wanted(self, reading: Reading, subject: Resource | Stack) -> pulumi_policy.Policy | None:
        """Returns what has to run on a subject; None if there is nothing to report."""


class PackPolicies(list[pulumi_policy.Policy]):
    """The policies of a pack. An iteration leaves out those that have nothing to report on the current subject.

    For each request of the engine, `pulumi_policy` iterates over its policies and converts all properties anew for each
    one: 0.15 ms for a resource, 20 ms for the stack of prod. With 200 policies a preview of prod takes four seconds
    longer. Here the first policy keeps the converted subject, and the others run only if they have to. If a later
    version of the SDK iterates in another way, every policy runs on a subject of its own: slower, with the same result.
    """

    def __init__(self, judges: list[Judge], readings: Readings) -> None:
        super().__init__(judge.policy for judge in judges)
        self._judges = judges
        self._readings = readings

    def __iter__(self) -> Iterator[pulumi_policy.Policy]:
        """Yields every policy until the subject of the request is known, then those that have to run."""
        reading = self._readings.current = Reading()
        try:
            for judge in self._judges:
                if reading.subject is None:
                    yield judge.policy
                elif (wanted := judge.wanted(reading, reading.subject)) is not None:
                    yield wanted
        finally:
            if self._readings.current is reading:
                self._readings.current = None


class PolicyJudge:
    """Runs one policy of the library with its settings, and reports what is not waived."""

    def __init__(self, policy: Policy, run: Run, readings: Readings, about: Mapping[str, Any]) -> None:
        self._policy = policy
        self._run = run
        self._readings = readings
        #: What is configured; None before the policy has run, so also while it is disabled.
        self._config: Mapping[str, Any] | None = None
        self._settings: Settings | None = None
        self._usable = True
        self._problem = ""
        self.policy: pulumi_policy.Policy
        if policy.scope == "stack":
            self.policy = pulumi_policy.StackValidationPolicy(validate=self._validate, **about)
            #: Learns from the first resource what is configured, long before the stack is judged.
            self._probe = pulumi_policy.ResourceValidationPolicy(validate=self._learn, **about)
        else:
            remediate = self._remediate if policy.remedy else None
            self.policy = pulumi_policy.ResourceValidationPolicy(validate=self._validate, remediate=remediate, **about)

    def wanted(self, reading: Reading, subject: Resource | Stack) -> pulumi_policy.Policy | None:
        """Returns the policy if it has findings or unknown values; a policy that has never run has to run once."""
        is_own = isinstance(subject, Stack) == (self._policy.scope == "stack")
        if self._config is None:
            return self.policy if is_own or isinstance(subject, Stack) else self._probe
        if not self._usable:
            return self.policy if self._problem and is_own else None
        if not is_own or (isinstance(subject, Resource) and not self._policy.reads(subject)):
            return None
        judgement = reading.judgements[self._policy.id] = judge(self._policy, subject, self._settings)
        return self.policy if judgement.findings or judgement.unknown else None

    def _learn(self, args: Args, _report: ReportViolation) -> None:
        """Reads the settings when they are new."""
        self._run.enabled.add(self._policy.id)
        config = args.get_config()
        if config == self._config:
            return
        self._config, self._problem, self._usable = config, "", True
        try:
            self._settings = self._policy.settings.read(config) if self._policy.settings else None
        except SettingsError as error:
            self._usable = False
            self._problem = f"the configuration of this policy can't be used: {self._policy.id}: {error}"

    def _validate(self, args: Args, report: ReportViolation) -> None:
        self._learn(args, report)
        subject = self._readings.subject(args)
        if self._usable:
            for finding in self._run.report(self._policy, subject, self._judged(subject)):
                report(f"{finding.message}. {self._policy.fix}", finding.urn or None)
        elif self._problem:
            report(self._problem, None)
            self._problem = ""  # reported once

    def _judged(self, subject: Resource | Stack) -> Judgement:
        reading = self._readings.current
        found = reading.judgements.get(self._policy.id) if reading else None
        return found or judge(self._policy, subject, self._settings)

    def _remediate(self, args: ResourceValidationArgs) -> Any:  # noqa: ANN401  # properties, which have no type
        """Returns the properties with the labels and annotations that are missing; None if there is nothing to add."""
        subject, policy = resource_of(args), self._policy
        if policy.remedy is None or not policy.reads(subject) or self._run.ledger.holds(policy.id, place_of(subject)):
            return None
        missing = policy.remedy(subject)
        return with_metadata(args, missing) if missing else None


class ReportJudge:
    """Reports on the run itself, for example on waivers that have expired."""

    def __init__(
        self, findings: Callable[[Any], Iterator[Finding]], readings: Readings, about: Mapping[str, Any], kind: str
    ) -> None:
        self._findings = findings
        self._readings = readings
        self._kind = kind
        self.policy: pulumi_policy.Policy = (
            pulumi_policy.ResourceValidationPolicy(validate=self._validate, **about)
            if kind
            else pulumi_policy.StackValidationPolicy(validate=self._validate, **about)
        )

    def wanted(self, _reading: Reading, subject: Resource | Stack) -> pulumi_policy.Policy | None:
        """Returns the policy if it has something to report."""
        return self.policy if self._reads(subject) and any(True for _ in self._findings(subject)) else None

    def _validate(self, args: Args, report: ReportViolation) -> None:
        subject = self._readings.subject(args)
        if self._reads(subject):
            for finding in self._findings(subject):
                report(finding.message, finding.urn or None)

    def _reads(self, subject: Resource | Stack) -> bool:
        return subject.kind == self._kind if isinstance(subject, Resource) else not self._kind
