"""Packs: the policies of one name, and those that report on the run itself, as policies of `pulumi_policy`."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi_policy
from pulumi_policy import EnforcementLevel, PolicyComplianceFramework, PolicyConfigSchema

from langfuse_policies.engine.judges import Judge, PackPolicies, PolicyJudge, Readings, ReportJudge
from langfuse_policies.engine.policy import PackName, Policy
from langfuse_policies.engine.run import Run
from langfuse_policies.engine.waivers import Ledger, WaiversError, read

PACKS: tuple[PackName, ...] = ("security", "reliability")
REPORTS = ("waivers-hold", "waivers-used", "waived", "not-checked")
"""The policies of each pack that report on the run, for example `security-waived`."""

_DOCS = "docs/policies.md"


def pack_policies(
    pack: PackName, known: Mapping[str, Policy], waivers: Path, today: datetime.date
) -> list[pulumi_policy.Policy]:
    """Returns the policies of a pack, then those that report on the run.

    Args:
        pack: Its name.
        known: The policies of all packs by their ids: waivers may name each of them.
        waivers: The file of waivers.
        today: Decides which waivers have expired.
    """
    own = {name: policy for name, policy in known.items() if policy.pack == pack}
    try:
        run = Run(own, Ledger(read(waivers, known), today))
    except WaiversError as error:
        run = Run(own, Ledger([], today), str(error))
    readings = Readings()
    judges: list[Judge] = [PolicyJudge(policy, run, readings, _about(policy)) for policy in own.values()]
    return PackPolicies([*judges, *_reports(pack, run, readings)], readings)


def _about(policy: Policy) -> dict[str, Any]:
    """Returns what Pulumi shows of a policy."""
    return {
        "name": policy.id,
        "display_name": policy.title,
        "description": f"{policy.title}. {policy.why}",
        "severity": policy.severity,
        "framework": _framework(policy),
        "tags": [policy.topic, *policy.also_in],
        "remediation_steps": policy.fix,
        "url": f"{_DOCS}#{policy.id}",
        "config_schema": PolicyConfigSchema(policy.settings.schema()) if policy.settings else None,
    }


def _framework(policy: Policy) -> PolicyComplianceFramework | None:
    """Returns the most authoritative standard, for example `PSS restricted: runAsNonRoot`."""
    if not policy.also_in:
        return None
    name, _, specification = policy.also_in[0].partition(": ")
    return PolicyComplianceFramework(name=name, specification=specification or None)


def _reports(pack: PackName, run: Run, readings: Readings) -> Iterator[Judge]:
    """Yields the policies that report on the run."""
    mandatory, advisory = EnforcementLevel.MANDATORY, EnforcementLevel.ADVISORY

    def report(name: str, description: str, level: EnforcementLevel, findings: Any, kind: str = "") -> Judge:  # noqa: ANN401
        about = {"name": f"{pack}-{name}", "description": description, "enforcement_level": level}
        return ReportJudge(findings, readings, about, kind)

    well_formed = "Waivers are well formed and have not expired."
    unknown = "Fields whose value is known only in `up`, when these policies run again."
    yield report("waivers-hold", well_formed, mandatory, run.waivers_hold, "pulumi/Stack")  # the first of all resources
    yield report("waivers-used", "Every waiver matches a finding.", mandatory, run.waivers_used)
    yield report("waived", "Findings that were waived.", advisory, run.waived)
    yield report("not-checked", unknown, advisory, run.not_checked)
