"""Compares the verdicts of the judges with our policies: by policy, by check and in total."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import yaml
from langfuse_policies.engine.policy import Policy
from pydantic import BaseModel, ConfigDict, TypeAdapter
from rich.console import Console
from rich.table import Table

from tests.judges.verdicts import Judge, Verdict

WAIVERS: Final = Path(__file__).parent / "waivers.yaml"
Cell = Literal["", "agrees", "waived", "DIFFERS"]


class Waiver(BaseModel):
    """A failed check of a judge, and the reason why it is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1)

    judge: Judge
    check: str
    reason: str
    stacks: tuple[str, ...] = ()
    """The stacks that it applies to; empty for all."""

    def covers(self, stack: str, verdict: Verdict) -> bool:
        """Whether it applies to an objection in a stack."""
        here = not self.stacks or stack in self.stacks
        return here and (self.judge, self.check) == (verdict.judge, verdict.check)

    def __str__(self) -> str:
        """One line of a report."""
        where = f" ({', '.join(self.stacks)})" if self.stacks else ""
        return f"{self.judge.value} {self.check}{where}: {self.reason}"


def waivers() -> list[Waiver]:
    """All waivers."""
    return TypeAdapter(list[Waiver]).validate_python(yaml.safe_load(WAIVERS.read_text()))


def checks_of(policy: Policy) -> Iterator[tuple[Judge, str]]:
    """The checks of the judges that correspond to a policy."""
    for one in policy.also_in:
        name, _, check = one.partition(": ")
        if one.startswith("CKV"):
            yield Judge.CHECKOV, one
        elif name == "kube-score":
            yield Judge.KUBE_SCORE, check
        elif name.startswith("PSS"):
            yield Judge.ADMISSION, check


@dataclass(frozen=True)
class Judgement:
    """The verdicts on one stack."""

    stack: str
    verdicts: tuple[Verdict, ...]
    #: The number of violations of each policy.
    findings: dict[str, int]
    waivers: tuple[Waiver, ...] = ()

    def waives(self, verdict: Verdict) -> bool:
        """Whether an objection has a waiver."""
        return any(waiver.covers(self.stack, verdict) for waiver in self.waivers)

    @property
    def failures(self) -> list[Verdict]:
        """The objections without a waiver."""
        return [one for one in self.verdicts if not one.passed and not self.waives(one)]

    def score(self, judge: Judge) -> tuple[int, int, int]:
        """The numbers of verdicts of a judge, and of those that passed and are waived."""
        own = [one for one in self.verdicts if one.judge is judge]
        passed = sum(one.passed for one in own)
        return len(own), passed, len(own) - passed - sum(one.judge is judge for one in self.failures)

    def cell(self, policy: Policy, judge: Judge) -> Cell:
        """Whether a judge agrees with a policy about the stack; empty if none of its checks applied."""
        checks = {check for of, check in checks_of(policy) if of is judge}
        own = [one for one in self.verdicts if one.judge is judge and one.check in checks]
        if not own:
            return ""
        objected = [one for one in own if not one.passed]
        if bool(objected) == bool(self.findings.get(policy.id)):
            return "agrees"
        return "waived" if objected and all(map(self.waives, objected)) else "DIFFERS"


def unused(judgements: Iterable[Judgement], given: Iterable[Waiver]) -> list[Waiver]:
    """Waivers that no stack needs."""
    objections = [(each.stack, one) for each in judgements for one in each.verdicts if not one.passed]
    return [waiver for waiver in given if not any(waiver.covers(*objection) for objection in objections)]


def show(console: Console, judgement: Judgement, policies: Sequence[Policy]) -> None:
    """Print the table of a stack, its failures and the scores."""
    stack = judgement.stack
    table = Table(title=stack, title_justify="left", box=None)
    judges = (Judge.ADMISSION, Judge.CHECKOV, Judge.KUBE_SCORE)
    for title in ("policy", "ours", *(judge.value for judge in judges)):
        table.add_column(title)
    cells = {policy: [judgement.cell(policy, judge) for judge in judges] for policy in policies}
    for policy, row in cells.items():
        if any(row):
            count = judgement.findings.get(policy.id, 0)
            table.add_row(policy.id, f"{count} found" if count else "holds", *row)
    console.print(table)
    for one in judgement.failures:
        console.print(f"{stack}: {one.judge.value} {one.check}: {one.subject}: {one.reason}", markup=False)
    for judge in Judge:
        total, passed, waived = judgement.score(judge)
        console.print(f"{stack}: {judge.value}: {passed} of {total} passed, {waived} waived")
    held = sum(not judgement.findings.get(policy.id) for policy in policies)
    said = [cell for row in cells.values() for cell in row if cell]
    console.print(f"{stack}: our policies: {held} of {len(policies)} hold")
    console.print(f"{stack}: the judges agree with them {said.count('agrees')} times of {len(said)}\n")
