"""What a day of load does to the pods of web and worker, and to the queues between them.

The model decides in the steps of an autoscaler by CPU and by queue length (docs/scaling.md). It uses the assumptions
about a pod of `operations/needs.py`: measure yours and compare.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from components.application.web import GRACE_SECONDS
from components.kubernetes.deployments import REMOVED_PERCENT, SCALE_DOWN_SECONDS
from components.schema.environment import Settings
from components.schema.values import quantity_value
from components.schema.workloads import QueueLength, Workload
from operations.day import HOURS, Day
from operations.needs import EVENTS_PER_CPU, JOB_SECONDS

STEP_SECONDS: Final = 15
"""How often an autoscaler decides (--horizontal-pod-autoscaler-sync-period of kube-controller-manager)."""

START_SECONDS: Final = 60
"""Assumption: from the decision to a pod that is ready, on a node with room and the image."""

SATURATED: Final = 2
"""`EVENTS_PER_CPU` is at half load: a saturated core processes twice as many."""

TOLERANCE: Final = 0.1
"""How far an autoscaler ignores that a metric differs from its target (kube-controller-manager)."""

BURST_PODS: Final = 4
"""Pods that an autoscaler adds at most in one step, unless it doubles them (the default `scaleUp` of Kubernetes)."""

MOST: Final = 100
"""The largest number of pods that a key accepts."""


@dataclass(frozen=True, kw_only=True)
class Hour:
    """The highest numbers of one hour."""

    hour: int
    events_per_second: float
    web: int
    worker: int
    backlog: int
    """Jobs that wait."""
    wait_seconds: int
    """How long the last of them waits."""


@dataclass(frozen=True, kw_only=True)
class Pods:
    """A Deployment as the model sees it."""

    least: int
    most: int
    events_per_second: float
    """What a pod processes at most."""
    cpu_events_per_second: float
    """What its CPU could process."""
    cpu_percent: int
    drain_seconds: int
    jobs_per_pod: int | None = None

    def wish(self, ready: int, processed: float, backlog: float) -> int:
        """The pods that the metric which asks for most of them wants."""
        ratio = processed / (self.cpu_events_per_second * ready) / (self.cpu_percent / 100)
        by_cpu = ready if abs(ratio - 1) <= TOLERANCE else math.ceil(ready * ratio)
        by_queue = math.ceil(backlog / self.jobs_per_pod) if self.jobs_per_pod else 0
        return min(max(by_cpu, by_queue, self.least), self.most)


class Scaler:
    """The number of pods over time: quick to grow, slow to shrink."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self.wanted = pods.least
        self._starting: deque[tuple[int, int]] = deque()
        self._wishes: deque[tuple[int, int]] = deque()
        self._removed: deque[int] = deque()

    def ready(self, now: int) -> int:
        """The pods that serve."""
        while self._starting and self._starting[0][0] <= now:
            self._starting.popleft()
        return max(self.wanted - sum(count for _, count in self._starting), 1)

    def decide(self, now: int, processed: float, backlog: float) -> None:
        """One step."""
        wish = self._pods.wish(self.ready(now), processed, backlog)
        self._wishes.append((now, wish))
        while self._wishes[0][0] <= now - SCALE_DOWN_SECONDS:
            self._wishes.popleft()
        while self._removed and self._removed[0] <= now - self._pods.drain_seconds:
            self._removed.popleft()
        if wish > self.wanted:
            added = min(wish - self.wanted, max(BURST_PODS, self.wanted))
            self._starting.append((now + START_SECONDS, added))
            self.wanted += added
            return
        least = max(count for _, count in self._wishes)
        allowed = max(1, (self.wanted + len(self._removed)) * REMOVED_PERCENT // 100) - len(self._removed)
        for _ in range(min(self.wanted - least, allowed)):
            self._removed.append(now)
            self.wanted -= 1


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The pods and the backlog of a day."""

    pods: Mapping[str, Pods]
    hours: Sequence[Hour]

    @classmethod
    def of(cls, day: Day, settings: Settings) -> "Forecast":
        """The day in an environment whose pods have these resources."""
        pods = {
            "web": _pods(day, settings.web, drain_seconds=GRACE_SECONDS),
            "worker": _pods(
                day,
                settings.worker,
                drain_seconds=settings.worker.termination_grace_period_seconds,
                by_jobs=settings.worker.otel_concurrency / float(JOB_SECONDS),
            ),
        }
        return cls(pods=pods, hours=[_highest(number, steps) for number, steps in enumerate(_steps(day, pods))])

    def autoscaling(self) -> Mapping[str, object]:
        """The keys of the stack file."""
        found: dict[str, dict[str, object]] = {
            name: {"autoscaling": {"minReplicas": one.least, "maxReplicas": one.most}}
            for name, one in self.pods.items()
        }
        found["worker"]["autoscaling"] = {
            "minReplicas": self.pods["worker"].least,
            "maxReplicas": self.pods["worker"].most,
            "queueLength": {"jobsPerPod": self.pods["worker"].jobs_per_pod},
        }
        return found

    @property
    def arithmetic(self) -> str:
        """What the model assumes, in words."""
        worker = self.pods["worker"]
        return (
            f"A worker processes {worker.events_per_second:g} events/s at most (CPU, and otelConcurrency / "
            f"{JOB_SECONDS} s); a new pod is ready after {START_SECONDS} s; one is removed if fewer have sufficed for "
            f"{SCALE_DOWN_SECONDS} s."
        )

    def document(self) -> Mapping[str, object]:
        """All of it, for programs."""
        return {"autoscaling": self.autoscaling(), "hours": [asdict(one) for one in self.hours]}


Step = tuple[float, int, int, float, float]
"""Events per second, pods of web and of worker, jobs that wait, and seconds until the last of them is processed."""


def _pods(day: Day, workload: Workload, *, drain_seconds: int, by_jobs: float = math.inf) -> Pods:
    """Limits for the day: from what the quietest hour needs at half load, to twice what the busiest one does.

    The second half of the maximum clears a backlog. One pod alone is an outage when it is replaced, so the minimum is
    two where the scale has several.
    """
    cores = float(quantity_value(workload.resources.cpu))
    most = min(SATURATED * EVENTS_PER_CPU * cores, by_jobs)
    quiet, busy = (math.ceil(SATURATED * rate / most) for rate in (day.least, day.peak))
    least = min(max(quiet, min(workload.replicas, 2)), MOST)
    return Pods(
        least=least,
        most=min(max(2 * busy, least), MOST),
        events_per_second=most,
        cpu_events_per_second=SATURATED * EVENTS_PER_CPU * cores,
        cpu_percent=50,
        drain_seconds=drain_seconds,
        jobs_per_pod=None if by_jobs == math.inf else QueueLength().jobs_per_pod,
    )


def _steps(day: Day, pods: Mapping[str, Pods]) -> Iterator[list[Step]]:
    """The steps of each hour. Web takes what arrives; what the workers can't process yet waits."""
    web, worker, backlog = Scaler(pods["web"]), Scaler(pods["worker"]), 0.0
    for hour in range(HOURS):
        steps: list[Step] = []
        for now in range(hour * 3600, (hour + 1) * 3600, STEP_SECONDS):
            rate, capacity = day.at(now), worker.ready(now) * pods["worker"].events_per_second
            processed = min(rate + backlog / STEP_SECONDS, capacity)
            backlog = max(0.0, backlog + (rate - processed) * STEP_SECONDS)
            web.decide(now, rate, 0)
            worker.decide(now, processed, backlog)
            steps.append((rate, web.wanted, worker.wanted, backlog, backlog / capacity))
        yield steps


def _highest(hour: int, steps: Sequence[Step]) -> Hour:
    rate, web, worker, backlog, wait = map(max, zip(*steps, strict=True))
    return Hour(
        hour=hour,
        events_per_second=float(rate),
        web=int(web),
        worker=int(worker),
        backlog=round(backlog),
        wait_seconds=round(wait),
    )
