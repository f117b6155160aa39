"""Packs: the rules of one name as policies of the engine, and the policies that report on the run itself."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from langfuse_policies.catalogue import RULES
from langfuse_policies.engine.policy import Finding, PackName, Rule
from langfuse_policies.engine.protocol import analyzer_pb2 as messages
from langfuse_policies.engine.run import Run
from langfuse_policies.engine.settings import Settings, SettingsError
from langfuse_policies.engine.waivers import Ledger, WaiversError, place_of, read
from langfuse_policies.facts.resources import Resource, Stack

_DOCS = "docs/policies.md"
_STACK = "pulumi/Stack"

Level: TypeAlias = "messages.EnforcementLevel.ValueType"


@dataclass(kw_only=True)
class Policy:
    """What the engine is told of a policy, and what the policy tells of a resource or a stack."""

    info: messages.PolicyInfo
    scope: Literal["resource", "stack"]
    #: Group and kind of the resources it reads, as of a rule; empty for all, and for the stack.
    kinds: frozenset[str] = frozenset()
    findings: Callable[..., Iterator[Finding]] = field(repr=False)
    #: The labels and annotations that a resource lacks, for example `{"labels": {"app": "shop"}}`.
    missing: Callable[[Resource], Mapping[str, Mapping[str, str]]] = field(default=lambda _: {}, repr=False)
    settings: type[Settings] | None = None
    #: What follows from a finding.
    level: Level = field(init=False)
    _set: Settings | None = None
    _problem: str = ""
    _told: bool = False

    def __post_init__(self) -> None:
        self.level = self.info.enforcementLevel

    @property
    def name(self) -> str:
        """As the configuration names it."""
        return self.info.name

    @property
    def enabled(self) -> bool:
        """Whether it is asked at all."""
        return self.level != messages.DISABLED

    def configure(self, level: Level, config: Mapping[str, object]) -> None:
        """Take what a configuration file says of it."""
        self.level, self._problem = level, ""
        try:
            self._set = self.settings.read(config) if self.settings else None
        except SettingsError as error:
            self._problem = f"the configuration of this policy can't be used: {self.name}: {error}"

    def on(self, subject: Resource | Stack) -> Iterator[Finding]:
        """What it says; of a configuration that can't be used once, in place of everything else."""
        if not self._problem:
            yield from self.findings(subject, self._set)
        elif not self._told:
            self._told = True
            yield Finding("", self._problem)


def policies(pack: PackName, waivers: Path, today: datetime.date) -> tuple[Run, list[Policy]]:
    """The policies of a pack in the order of the catalogue, then those that report on the run; and what they share."""
    rules = {name: rule for name, rule in RULES.items() if rule.pack == pack}
    try:
        run = Run(rules, Ledger(read(waivers, RULES), today))
    except WaiversError as error:
        run = Run(rules, Ledger([], today), str(error))
    return run, [*(_policy(rule, run) for rule in rules.values()), *_reports(pack, run)]


def _policy(rule: Rule, run: Run) -> Policy:
    def findings(subject: Resource | Stack, settings: Settings | None) -> Iterator[Finding]:
        for one in run.judge(rule, subject, settings):
            yield Finding("", f"{one.message}. {rule.fix}", one.urn)

    def missing(resource: Resource) -> Mapping[str, Mapping[str, str]]:
        waived = run.ledger.holds(rule.id, place_of(resource))
        return rule.remedy(resource) if rule.remedy and not waived else {}

    return Policy(
        info=_info(rule),
        scope=rule.scope,
        kinds=rule.kinds,
        findings=findings,
        missing=missing,
        settings=rule.settings,
    )


def _info(rule: Rule) -> messages.PolicyInfo:
    info = messages.PolicyInfo(
        name=rule.id,
        displayName=rule.title,
        description=f"{rule.title}. {rule.why}",
        enforcementLevel=messages.ADVISORY,
        policy_type=_TYPES[rule.scope],
        severity=messages.PolicySeverity.Value(f"POLICY_SEVERITY_{rule.severity.name}"),
        tags=[rule.topic, rule.reference, *rule.also_in],
        remediation_steps=rule.fix,
        url=f"{_DOCS}#{rule.id}",
    )
    if rule.also_in:  # the most authoritative standard, for example `PSS restricted: runAsNonRoot`
        info.framework.name, _, info.framework.specification = rule.also_in[0].partition(": ")
    if rule.settings:
        info.configSchema.properties.update(rule.settings.schema())
    return info


_TYPES = {"resource": messages.POLICY_TYPE_RESOURCE, "stack": messages.POLICY_TYPE_STACK}


def _reports(pack: PackName, run: Run) -> Iterator[Policy]:
    """What is said of the run itself."""
    report = partial(_report, pack)
    # The stack itself is the first of all resources.
    yield report("waivers-hold", "Waivers are well formed and in time.", messages.MANDATORY, run.waivers_hold, _STACK)
    yield report("waivers-used", "Every waiver is needed.", messages.MANDATORY, run.waivers_used)
    yield report("waived", "Findings that were waived.", messages.ADVISORY, run.waived)
    unknown = "Fields whose value is known only in `up`, when these rules run again."
    yield report("not-checked", unknown, messages.ADVISORY, run.not_checked)


def _report(
    pack: PackName, name: str, description: str, level: Level, findings: Callable[..., Iterator[Finding]], *kinds: str
) -> Policy:
    scope: Literal["resource", "stack"] = "resource" if kinds else "stack"
    info = messages.PolicyInfo(
        name=f"{pack}-{name}", description=description, enforcementLevel=level, policy_type=_TYPES[scope]
    )
    return Policy(info=info, scope=scope, kinds=frozenset(kinds), findings=findings)
