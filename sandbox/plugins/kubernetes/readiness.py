"""What it takes for an object of a kind to be ready, after the official provider's `await` package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from sandbox.plugins.kubernetes.objects import Kind, Object, condition, name, number, objects, owned_by, text

POD: Final = Kind("", "v1", "Pod")
MINUTE: Final = 60.0


class Verdict(NamedTuple):
    """Whether an object is ready; if not, what is awaited, what is wrong, and whether waiting is in vain."""

    ready: bool
    message: str = ""
    problems: tuple[str, ...] = ()
    failed: bool = False


class View(Protocol):
    """The other objects in the namespace of the one that is judged."""

    def all(self, kind: Kind) -> list[Object]:
        """Return the objects of a kind, none where they can't be seen."""
        ...


Check: TypeAlias = Callable[[Object, View], Verdict]
READY: Final = Verdict(ready=True)


@dataclass(frozen=True)
class Criterion:
    """How a kind is judged: by which check, seeing which other kinds, and for how long at most, in seconds."""

    check: Check
    sees: tuple[Kind, ...] = ()
    timeout: float = 10 * MINUTE
    on_read: bool = True
    """Whether a refresh reports an object that is not ready, too."""


def waiting(message: str, *problems: str) -> Verdict:
    """Return the verdict that more time is needed."""
    return Verdict(ready=False, message=message, problems=problems)


def failed(*problems: str) -> Verdict:
    """Return the verdict that time won't help."""
    return Verdict(ready=False, message=problems[0], problems=problems, failed=True)


def is_observed(live: Object) -> bool:
    """Say whether the controller has seen the latest change of the spec."""
    return number(live, "status", "observedGeneration", default=-1) >= number(live, "metadata", "generation")


def pod_problems(owner: Object, view: View) -> tuple[str, ...]:
    """Return what is wrong with the pods that an object owns."""
    return tuple(problem for pod in view.all(POD) if owned_by(pod, owner) for problem in problems_of_pod(pod))


def problems_of_pod(pod: Object) -> list[str]:
    """Return why a pod is not scheduled or a container does not run."""
    where = f"[Pod {text(pod, 'metadata', 'namespace')}/{name(pod)}]:"
    found: list[str] = []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and text(scheduled, "message"):
        found.append(f"{where} {text(scheduled, 'message')}")
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in objects(pod, "status", kind):
            found += [f"{where} {problem}" for problem in _container_problems(status)]
    return found


def _container_problems(status: Object) -> list[str]:
    if status.get("ready") is True:
        return []
    container = text(status, "name")
    found: list[str] = []
    reason = text(status, "state", "waiting", "reason")
    if reason not in ("", "ContainerCreating", "PodInitializing"):
        found.append(f"[{reason}] {text(status, 'state', 'waiting', 'message')}".rstrip())
    for state in ("state", "lastState"):
        code = number(status, state, "terminated", "exitCode")
        if code:
            ending = text(status, state, "terminated", "reason")
            message = text(status, state, "terminated", "message")
            found.append(f'container "{container}" ended with exit code {code} ({ending}) {message}'.rstrip())
    return found
