"""Packs: the rules as policies of Pulumi's SDK."""

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from langfuse_policies.catalogue import RULES
from langfuse_policies.remedies import remedied
from langfuse_policies.rules import Finding, PackName, Rule
from langfuse_policies.run import Run
from langfuse_policies.settings import Settings
from langfuse_policies.waivers import Ledger, WaiversError, read

_DOCS = "docs/policies.md"
_STACK = "pulumi:pulumi:Stack"


class _About(TypedDict):
    name: str
    description: str
    display_name: str
    severity: Severity
    framework: PolicyComplianceFramework | None
    tags: list[str]
    remediation_steps: str
    url: str
    config_schema: PolicyConfigSchema | None


def policies(pack: PackName, waivers: Path, today: datetime.date) -> tuple[Run, list[Policy]]:
    """The policies of a pack in the order of the catalogue, then those that report on the run; and what they share."""
    try:
        run, unreadable = Run(Ledger(read(waivers, RULES), today)), None
    except WaiversError as error:
        run, unreadable = Run(Ledger([], today)), str(error)
    rules = [rule for rule in RULES.values() if rule.pack == pack]
    return run, [
        *(_policy(rule, run) for rule in rules),
        _waivers_hold(pack, run, unreadable),
        _waivers_used(pack, run),
        _waived(pack, run),
        _not_checked(pack, run),
    ]


def _policy(rule: Rule, run: Run) -> Policy:
    about: _About = {
        "name": rule.id,
        "description": f"{rule.title}. {rule.why}",
        "display_name": rule.title,
        "severity": Severity(rule.severity.value),
        "framework": _framework(rule.also_in),
        "tags": [rule.topic, rule.reference, *rule.also_in],
        "remediation_steps": rule.fix,
        "url": f"{_DOCS}#{rule.id}",
        "config_schema": _schema(rule.settings),
    }

    def report_all(findings: Iterable[Finding], report: ReportViolation) -> None:
        for finding in findings:
            report(f"{finding.message}. {rule.fix}", finding.urn or None)

    def on_stack(args: StackValidationArgs, report: ReportViolation) -> None:
        report_all(run.judge(rule, run.stack, args.get_config()), report)

    def on_resource(args: ResourceValidationArgs, report: ReportViolation) -> None:
        report_all(run.judge(rule, run.resource, args.get_config()), report)

    if rule.scope == "stack":
        return StackValidationPolicy(validate=on_stack, **about)
    remedy = (lambda args: remedied(rule, args, run.ledger)) if rule.remedy else None
    return ResourceValidationPolicy(validate=on_resource, remediate=remedy, **about)


def _framework(also_in: Sequence[str]) -> PolicyComplianceFramework | None:
    """The most authoritative standard, for example `PSS restricted: runAsNonRoot`."""
    if not also_in:
        return None
    name, _, specification = also_in[0].partition(": ")
    return PolicyComplianceFramework(name=name, specification=specification or None)


def _schema(settings: type[Settings] | None) -> PolicyConfigSchema | None:
    return PolicyConfigSchema(properties=settings.schema()) if settings else None


def _waivers_hold(pack: PackName, run: Run, unreadable: str | None) -> Policy:
    """Judges the waivers when the stack itself is registered, the first of all resources."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type != _STACK:
            return
        if unreadable:
            report(unreadable, None)
        for waiver in run.ledger.expired():
            if RULES[waiver.rule].pack == pack:
                report(f"expired: {waiver}. Fix the fault, or have its owner renew the date", None)

    return ResourceValidationPolicy(
        name=f"{pack}-waivers-hold",
        description="Waivers are well formed and in time.",
        enforcement_level=EnforcementLevel.MANDATORY,
        validate=validate,
    )


def _waivers_used(pack: PackName, run: Run) -> Policy:
    def validate(_args: StackValidationArgs, report: ReportViolation) -> None:
        for waiver in run.ledger.unused(run.stack.name, run.enabled):
            report(f"nothing needs it any more: {waiver}. Remove it", None)

    return StackValidationPolicy(
        name=f"{pack}-waivers-used",
        description="Every waiver is needed.",
        enforcement_level=EnforcementLevel.MANDATORY,
        validate=validate,
    )


def _waived(pack: PackName, run: Run) -> Policy:
    def validate(_args: StackValidationArgs, report: ReportViolation) -> None:
        for waiver in sorted(run.ledger.used, key=str):
            report(str(waiver), None)

    return StackValidationPolicy(
        name=f"{pack}-waived",
        description="Findings that were waived.",
        enforcement_level=EnforcementLevel.ADVISORY,
        validate=validate,
    )


def _not_checked(pack: PackName, run: Run) -> Policy:
    def validate(_args: StackValidationArgs, report: ReportViolation) -> None:
        for urn, paths in sorted(run.unknown.items()):
            for path, rules in sorted(paths.items()):
                report(f"{path} is not known yet, for {', '.join(sorted(rules))}", urn)

    return StackValidationPolicy(
        name=f"{pack}-not-checked",
        description="Fields whose value is known only in `up`, when these rules run again.",
        enforcement_level=EnforcementLevel.ADVISORY,
        validate=validate,
    )
