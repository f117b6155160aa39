"""The types of readiness checks and what they share, after the `await` package of the official provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from sandbox.plugins.kubernetes.objects import Kind, Object, condition, name, number, objects, owned_by, text

POD: Final = Kind("", "v1", "Pod")
MINUTE: Final = 60.0


class Verdict(NamedTuple):
    """Whether an object is ready; if not, a status message, its problems, and whether it has failed for good."""

    ready: bool
    message: str = ""
    problems: tuple[str, ...] = ()
    failed: bool = False


class View(Protocol):
    """The other objects in the namespace of the checked object."""

    def all(self, kind: Kind) -> list[Object]:
        """Return the objects of a kind, none if they can't be listed."""
        ...


Check: TypeAlias = Callable[[Object, View], Verdict]
READY: Final = Verdict(ready=True)


@dataclass(frozen=True)
class Criterion:
    """The readiness check of a kind, the other kinds that it needs, and its timeout in seconds."""

    check: Check
    needs: tuple[Kind, ...] = ()
    timeout: float = 10 * MINUTE
    on_read: bool = True
    """Whether a refresh also checks readiness."""


def waiting(message: str, *problems: str) -> Verdict:
    """Return the verdict that the object is not ready yet."""
    return Verdict(ready=False, message=message, problems=problems)


def failed(*problems: str) -> Verdict:
    """Return the verdict that the object will never be ready."""
    return Verdict(ready=False, message=problems[0], problems=problems, failed=True)


def is_observed(live: Object) -> bool:
    """Return whether the controller has observed the latest change of the spec."""
    return number(live, "status", "observedGeneration", default=-1) >= number(live, "metadata", "generation")


def pod_problems(owner: Object, view: View) -> tuple[str, ...]:
    """Return the problems of the pods that an object owns."""
    return tuple(problem for pod in view.all(POD) if owned_by(pod, owner) for problem in problems_of_pod(pod))


def problems_of_pod(pod: Object) -> list[str]:
    """Return why a pod is not scheduled or a container is not running."""
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
            found.append(f'container "{container}" exited with code {code} ({ending}) {message}'.rstrip())
    return found
