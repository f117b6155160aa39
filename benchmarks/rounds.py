"""The benchmark: a warm-up round and measured rounds, each from an empty project to its destruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import SUBJECTS, Figures
from benchmarks.kubectl import Kubectl
from benchmarks.previews import Previews
from benchmarks.project import Operation, Project
from benchmarks.state import Plan, Resource, longest_chain, manifests, plan, resources
from benchmarks.temporary_sandbox import TemporarySandbox
from components.schema.images import DEFAULT_VERSION
from sandbox.progress import Progress

PLAIN = ("bare", "least")  # programs that are generated from the state of the dev stack
WARM_UP = 0  # the number of the warm-up round


def next_patch(version: str) -> str:
    """The next patch release: `4.16.1` for `4.16.0`. Its image is never pulled."""
    *kept, patch = version.split(".")
    return ".".join([*kept, str(int(patch) + 1)])


@dataclass
class Rounds:
    """Measures everything `count` times. The other programs are generated from the state of the warm-up round."""

    sandbox: TemporarySandbox
    count: int
    figures: Figures = field(default_factory=Figures)
    _before: list[Resource] = field(default_factory=list)
    _after: list[Resource] = field(default_factory=list)

    def run(self) -> Figures:
        """Run all rounds."""
        progress = Progress(self.count + (self.count + 1) * len(SUBJECTS))
        for number in range(1, self.count + 1):
            with progress.step(f"round {number}: sandbox"):
                self._start_sandbox(is_last=number == self.count)
        for number in range(WARM_UP, self.count + 1):
            for subject in order(tuple(SUBJECTS), number):
                with progress.step(f"{f'round {number}' if number else 'warm-up'}: {SUBJECTS[subject]}"):
                    self._kubectl(number) if subject == "kubectl" else self._program(subject, number)
            if number == WARM_UP:
                self.figures = Figures(sandbox=self.figures.sandbox)
                self.figures.sandbox["memory"] = []
        Previews(self.sandbox, self.count, self.figures, self._plan("previews")).run()
        return self.figures

    def _start_sandbox(self, *, is_last: bool) -> None:
        sandbox = self.figures.sandbox
        sandbox.setdefault("start", []).append(self.sandbox.start().wall)
        sandbox.setdefault("idle memory", []).append(self.sandbox.memory() / 2**20)
        self.sandbox.stop()
        sandbox.setdefault("restart", []).append(self.sandbox.start().wall)
        if not is_last:
            self.sandbox.wipe()

    def _program(self, subject: str, number: int) -> None:
        namespace = _namespace(subject, number)
        project = Project(
            self._folder(subject, number),
            subject,
            namespace=namespace,
            version=DEFAULT_VERSION,
            environment=self.sandbox.environment(),
            plan=self._plan(namespace) if subject in PLAIN else None,
        )
        first = self._record(subject, "first", project.up())
        if subject == "dev":
            before = resources(project.export())
            self.figures.chains.append(longest_chain(before, first.events.durations))
            self.figures.sandbox.setdefault("memory", []).append(self.sandbox.memory() / 2**20)
        unchanged = self._record(subject, "no-op", project.up()).unchanged(
            f"the second `up` of the {SUBJECTS[subject]}"
        )
        for phase, seconds in unchanged.program.items():
            self.figures.program.setdefault((subject, phase), []).append(seconds)
        self._record(subject, "preview", project.preview()).unchanged(f"the preview of the {SUBJECTS[subject]}")
        project.set_version(next_patch(DEFAULT_VERSION))
        self._record(subject, "image", project.up())
        if subject == "dev" and number == WARM_UP:
            self._before, self._after = before, resources(project.export())
        self._record(subject, "destroy", project.destroy())

    def _kubectl(self, number: int) -> None:
        namespace = _namespace("kubectl", number)
        kubectl = Kubectl(self.sandbox.folder, namespace, self.sandbox.environment())
        before, after = manifests(self._before, namespace), manifests(self._after, namespace)
        costs = {
            "first": kubectl.apply(before),
            "no-op": kubectl.apply(before),
            "image": kubectl.apply(after, before=before),
            "destroy": kubectl.delete(),
        }
        for operation, cost in costs.items():
            self.figures.wall.setdefault(("kubectl", operation), []).append(cost.wall)
            self.figures.cpu.setdefault(("kubectl", operation), []).append(cost.cpu)

    def _plan(self, namespace: str) -> Plan:
        return plan(self._before, self._after, namespace)

    def _record(self, subject: str, name: str, operation: Operation) -> Operation:
        self.figures.wall.setdefault((subject, name), []).append(operation.cost.wall)
        self.figures.cpu.setdefault((subject, name), []).append(operation.cost.cpu)
        self.figures.changed[subject, name] = operation.events.changed
        return operation

    def _folder(self, subject: str, number: int) -> Path:
        return self.sandbox.folder / f"{subject}-{number}"


def order(subjects: Sequence[str], number: int) -> list[str]:
    """The order of a round. Each round starts with another subject, so that drift affects all alike."""
    start = number % len(subjects)
    return [*subjects[start:], *subjects[:start]]


def _namespace(subject: str, number: int) -> str:
    return f"benchmark-{subject}-{number}"
