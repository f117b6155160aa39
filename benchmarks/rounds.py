"""The benchmark itself: a round that warms up, then rounds that count, each from nothing to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import SUBJECTS, Figures
from benchmarks.floor import Floor
from benchmarks.ground import Ground
from benchmarks.previews import Previews
from benchmarks.project import Operation, Project
from benchmarks.state import Plan, Resource, longest_chain, manifests, plan, resources
from components.schema.images import DEFAULT_VERSION
from sandbox.progress import Progress

PLAIN = ("bare", "least")  # programs that are made from the stack's state
WARM_UP = 0  # the number of the round that does not count


def next_patch(version: str) -> str:
    """The release after a release: `4.16.1` for `4.16.0`. Nothing pulls its image."""
    *kept, patch = version.split(".")
    return ".".join([*kept, str(int(patch) + 1)])


@dataclass
class Rounds:
    """Measures everything, `count` times. What the warm-up made tells the later rounds what to compare with."""

    ground: Ground
    count: int
    figures: Figures = field(default_factory=Figures)
    _before: list[Resource] = field(default_factory=list)
    _after: list[Resource] = field(default_factory=list)

    def run(self) -> Figures:
        """Run every round."""
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
        Previews(self.ground, self.count, self.figures, self._plan("previews")).run()
        return self.figures

    def _start_sandbox(self, *, is_last: bool) -> None:
        sandbox = self.figures.sandbox
        sandbox.setdefault("start", []).append(self.ground.start().wall)
        sandbox.setdefault("idle memory", []).append(self.ground.memory() / 2**20)
        self.ground.stop()
        sandbox.setdefault("restart", []).append(self.ground.start().wall)
        if not is_last:
            self.ground.wipe()

    def _program(self, subject: str, number: int) -> None:
        namespace = _namespace(subject, number)
        project = Project(
            self._folder(subject, number),
            subject,
            namespace=namespace,
            version=DEFAULT_VERSION,
            environment=self.ground.environment(),
            plan=self._plan(namespace) if subject in PLAIN else None,
        )
        first = self._note(subject, "first", project.up())
        if subject == "dev":
            before = resources(project.export())
            self.figures.chains.append(longest_chain(before, first.events.durations))
            self.figures.sandbox.setdefault("memory", []).append(self.ground.memory() / 2**20)
        unchanged = self._note(subject, "no-op", project.up()).unchanged(f"the second `up` of the {SUBJECTS[subject]}")
        for phase, seconds in unchanged.program.items():
            self.figures.program.setdefault((subject, phase), []).append(seconds)
        self._note(subject, "preview", project.preview()).unchanged(f"the preview of the {SUBJECTS[subject]}")
        project.set_version(next_patch(DEFAULT_VERSION))
        self._note(subject, "image", project.up())
        if subject == "dev" and number == WARM_UP:
            self._before, self._after = before, resources(project.export())
        self._note(subject, "destroy", project.destroy())

    def _kubectl(self, number: int) -> None:
        namespace = _namespace("kubectl", number)
        floor = Floor(self.ground.folder, namespace, self.ground.environment())
        before, after = manifests(self._before, namespace), manifests(self._after, namespace)
        costs = {
            "first": floor.apply(before),
            "no-op": floor.apply(before),
            "image": floor.apply(after, before=before),
            "destroy": floor.delete(),
        }
        for operation, cost in costs.items():
            self.figures.wall.setdefault(("kubectl", operation), []).append(cost.wall)
            self.figures.cpu.setdefault(("kubectl", operation), []).append(cost.cpu)

    def _plan(self, namespace: str) -> Plan:
        return plan(self._before, self._after, namespace)

    def _note(self, subject: str, name: str, operation: Operation) -> Operation:
        self.figures.wall.setdefault((subject, name), []).append(operation.cost.wall)
        self.figures.cpu.setdefault((subject, name), []).append(operation.cost.cpu)
        self.figures.changed[subject, name] = operation.events.changed
        return operation

    def _folder(self, subject: str, number: int) -> Path:
        return self.ground.folder / f"{subject}-{number}"


def order(subjects: Sequence[str], number: int) -> list[str]:
    """The order of a round: each starts with another subject, so that drift hits all alike. The warm-up keeps it."""
    start = number % len(subjects)
    return [*subjects[start:], *subjects[:start]]


def _namespace(subject: str, number: int) -> str:
    return f"benchmark-{subject}-{number}"
