"""The measured samples, their medians and ratios, and the aims. All functions are pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.state import Chain

OPERATIONS = {
    "first": "first up",
    "no-op": "no-op up",
    "image": "one-image up",
    "preview": "no-op preview",
    "destroy": "destroy",
}
SUBJECTS = {
    "dev": "dev stack",
    "bare": "bare program",
    "least": "least objects",
    "empty": "empty program",
    "kubectl": "kubectl",
}

NO_OP_LIMIT = 1.15
FIRST_LIMIT = 1.3
PROGRAM_CPU_LIMIT = 1.5  # seconds
PROD_CPU_LIMIT = 1.2  # seconds
PACKS_LIMIT = 0.6  # seconds
START_LIMIT = 15.0  # seconds
MEMORY_LIMIT = 1024.0  # MiB


@dataclass(frozen=True)
class Summary:
    """The median and the range of some samples."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Summarize samples. Raises ValueError if there are none."""
        if not samples:
            raise ValueError("nothing was measured")
        return cls(statistics.median(samples), min(samples), max(samples))

    def text(self, digits: int = 1) -> str:
        """Format as `4.2 (4.0-4.9)`, or as the median alone if all samples are equal."""
        median, least, most = (f"{value:.{digits}f}" for value in (self.median, self.least, self.most))
        return median if least == most else f"{median} ({least}-{most})"


@dataclass
class Figures:
    """All measurements: one sample per round, in the order of the rounds.

    Keys of `wall` and `cpu` are (subject, operation), those of `program` are (subject, phase).
    """

    wall: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    cpu: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    program: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    sandbox: dict[str, list[float]] = field(default_factory=dict)
    chains: list[Chain] = field(default_factory=list)
    changed: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of resources that each operation changed."""
    previews: dict[str, list[float]] = field(default_factory=dict)
    """Wall-clock seconds of previews, by program and packs."""


@dataclass(frozen=True)
class Verdict:
    """An aim and the measured value. The aim is met if the median is not above the limit."""

    aim: str
    found: Summary
    limit: float
    explanation: str

    @property
    def is_met(self) -> bool:
        """Whether the aim is met."""
        return self.found.median <= self.limit


def ratios(above: Sequence[float], below: Sequence[float]) -> Summary:
    """Ratios of samples of the same rounds, in which slow rounds cancel out."""
    return Summary.of([a / b for a, b in zip(above, below, strict=True)])


def differences(above: Sequence[float], below: Sequence[float]) -> Summary:
    """Differences of samples that were taken one after the other."""
    return Summary.of([a - b for a, b in zip(above, below, strict=True)])


def verdicts(figures: Figures) -> list[Verdict]:
    """The verdict on each aim."""
    wall, program = figures.wall, figures.program
    waits = [chain.seconds for chain in figures.chains]
    without_wait = [first - wait for first, wait in zip(wall["dev", "first"], waits, strict=True)]
    ends = zip(program["empty", "ended"], program["empty", "started"], strict=True)
    empty = Summary.of([ended - started for ended, started in ends]).median
    own = differences(program["dev", "ended"], program["empty", "ended"])
    return [
        Verdict(
            "no-op up / bare program's",
            ratios(wall["dev", "no-op"], wall["bare", "no-op"]),
            NO_OP_LIMIT,
            "the cost of components, configuration and dependencies",
        ),
        Verdict(
            "(first up - longest chain's wait) / bare program's first up",
            ratios(without_wait, wall["bare", "first"]),
            FIRST_LIMIT,
            f"the chain waits {Summary.of(waits).text()} s",
        ),
        Verdict(
            "CPU seconds of the program's evaluation",
            own,
            PROGRAM_CPU_LIMIT,
            "its process in a no-op up, minus the empty program's",
        ),
        Verdict(
            "CPU seconds of prod's evaluation",
            Summary.of([own - empty for own in program["prod", "evaluation"]]),
            PROD_CPU_LIMIT,
            "from reading the configuration to the last response, minus the empty program's",
        ),
        Verdict(
            "seconds that both packs add to a no-op preview of prod, more than two packs of one empty policy",
            differences(figures.previews["prod with packs"], figures.previews["prod with empty packs"]),
            PACKS_LIMIT,
            "one preview after the other",
        ),
        Verdict(
            "seconds to a ready sandbox", Summary.of(figures.sandbox["start"]), START_LIMIT, "from an empty folder"
        ),
        Verdict(
            "MiB of the control plane", Summary.of(figures.sandbox["memory"]), MEMORY_LIMIT, "with a stack deployed"
        ),
    ]
