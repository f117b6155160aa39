"""Policies: a function for each, registered in a topic by a decorator that says what people need to know about it.

    topic = Topic("pods", title="Pods", pack="security")

    @topic.pods("no-privileged-container", title=..., why=..., fix=..., severity=Severity.CRITICAL)
    def no_privileged_container(pod: Pod) -> Findings:
        for container in pod.containers:
            if (privileged := container["securityContext"]["privileged"]).equals(True):
                yield finding(privileged, "the container is root on its node")

A policy never raises, whatever the resource looks like: it reads `Field`s. It reports only what is certainly wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict, TypeVar, Unpack

from pulumi_policy import Severity

from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import POD_TEMPLATES, SERVERS, Pod, pod_of

__all__ = ["Finding", "Findings", "PackName", "Policy", "Severity", "Topic", "by_id", "finding"]

PackName = Literal["security", "reliability"]


@dataclass(frozen=True)
class Finding:
    """One finding: a place and the problem there, never the value."""

    path: str
    problem: str
    #: The resource; set by policies on the whole stack, known for the others.
    urn: str = ""

    @property
    def message(self) -> str:
        """The message of a report: `spec.template.spec.containers[web].image: names no tag`."""
        return f"{self.path}: {self.problem}" if self.path else self.problem


Findings = Iterator[Finding]


def finding(place: Field | Resource | Pod | str, problem: str, of: Resource | None = None) -> Finding:
    """Creates a finding for a field or a whole resource; policies on the stack pass the resource."""
    if isinstance(place, Field):
        return Finding(place.path, problem, of.urn if of else "")
    if isinstance(place, Pod):
        return Finding(place.spec.path, problem, place.resource.urn)
    if isinstance(place, Resource):
        return Finding("", problem, place.urn)
    return Finding(place, problem, of.urn if of else "")


@dataclass(frozen=True)
class Policy:
    """One policy. Its texts are shown in reports and in docs/policies.md."""

    #: Kebab-case; unique over all packs.
    id: str
    title: str
    #: What goes wrong without it.
    why: str
    #: What to do about a finding.
    fix: str
    severity: Severity
    pack: PackName
    topic: str
    scope: Literal["resource", "stack"]
    #: Group and kind of the resources it reads, for example `apps/Deployment`; empty for all, and for the stack.
    kinds: frozenset[str]
    check: Callable[..., Findings] = field(repr=False)
    #: The same policy in standards and tools, the most authoritative first, for example `PSS baseline: privileged`.
    also_in: tuple[str, ...] = ()
    #: About Langfuse itself: reports nothing where Langfuse is not deployed.
    langfuse: bool = False
    #: The typed configuration, every key with a default; None when there is nothing to configure.
    settings: type[Settings] | None = None
    #: Returns missing labels or annotations; other policies have no remedy.
    remedy: Callable[[Resource], dict[str, dict[str, str]]] | None = field(default=None, repr=False)

    def reads(self, resource: Resource) -> bool:
        """Whether it applies to resources of this kind."""
        return not self.kinds or resource.kind in self.kinds

    def on(self, subject: Resource | Stack, settings: Settings | None = None) -> list[Finding]:
        """The findings in a resource or a stack, with default settings unless others are passed."""
        if isinstance(subject, Resource) and not self.reads(subject):
            return []
        if self.settings is None:
            return list(self.check(subject))
        return list(self.check(subject, self.settings() if settings is None else settings))


class About(TypedDict):
    """The texts and options of a policy: see the fields of `Policy`."""

    title: str
    why: str
    fix: str
    severity: Severity
    also_in: NotRequired[tuple[str, ...]]
    langfuse: NotRequired[bool]
    settings: NotRequired[type[Settings]]
    remedy: NotRequired[Callable[[Resource], dict[str, dict[str, str]]]]


Check = TypeVar("Check", bound=Callable[..., Findings])


class Topic:
    """The policies of one file."""

    def __init__(self, name: str, *, title: str, pack: PackName) -> None:
        self.name = name
        self.title = title
        self.pack: PackName = pack
        self.policies: list[Policy] = []

    def pods(self, id: str, **about: Unpack[About]) -> Callable[[Check], Check]:  # noqa: A002  # the field's own name
        """A policy on the pods of every workload: `check(pod)` or `check(pod, settings)`."""
        return self._on_pods(id, frozenset(POD_TEMPLATES), about)

    def servers(self, id: str, **about: Unpack[About]) -> Callable[[Check], Check]:  # noqa: A002
        """A policy on pods that run until they are stopped, so not on Jobs."""
        return self._on_pods(id, SERVERS, about)

    def _on_pods(self, id: str, kinds: frozenset[str], about: About) -> Callable[[Check], Check]:  # noqa: A002
        def register(check: Check) -> Check:
            def on_resource(resource: Resource, *settings: object) -> Findings:
                pod = pod_of(resource)
                return iter(()) if pod is None else check(pod, *settings)

            self._add(id, "resource", kinds, on_resource, about)
            return check

        return register

    def resources(self, id: str, *kinds: str, **about: Unpack[About]) -> Callable[[Check], Check]:  # noqa: A002
        """A policy on resources of these kinds, or of all: `check(resource)` or `check(resource, settings)`."""

        def register(check: Check) -> Check:
            self._add(id, "resource", frozenset(kinds), check, about)
            return check

        return register

    def stack(self, id: str, **about: Unpack[About]) -> Callable[[Check], Check]:  # noqa: A002
        """A policy on the whole stack: `check(stack)` or `check(stack, settings)`."""

        def register(check: Check) -> Check:
            self._add(id, "stack", frozenset(), check, about)
            return check

        return register

    def _add(
        self,
        id: str,  # noqa: A002
        scope: Literal["resource", "stack"],
        kinds: frozenset[str],
        check: Callable[..., Findings],
        about: About,
    ) -> None:
        self.policies.append(
            Policy(id=id, scope=scope, kinds=kinds, check=check, pack=self.pack, topic=self.name, **about)
        )


def by_id(topics: Sequence[Topic]) -> dict[str, Policy]:
    """All policies of these topics.

    Raises:
        ValueError: Two policies have one id.
    """
    found: dict[str, Policy] = {}
    for topic in topics:
        for policy in topic.policies:
            if policy.id in found:
                raise ValueError(f"two policies are called {policy.id}: in {found[policy.id].topic} and {topic.name}")
            found[policy.id] = policy
    return found
