"""Waivers: findings that an owner accepts until a date, with a reason.

    - policy: image-by-digest
      resource: "*/*/*"
      reason: The lock file of digests is written with the first deployment.
      owner: platform@example.com
      expires: 2027-01-31

`resource` is a pattern over `STACK/KIND/NAME`, for example `prod/apps/Deployment/langfuse-web`: kinds as in
`Resource.kind`, names as in the Pulumi program, `*` for any text.
"""

import datetime
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from langfuse_policies.facts.resources import Resource

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted finding."""

    policy: _Text
    resource: _Text
    reason: _Text
    owner: _Text
    #: The last day on which it is valid, in UTC.
    expires: datetime.date

    def covers(self, policy: str, place: str) -> bool:
        """Whether it covers this policy at this place, `STACK/KIND/NAME`."""
        return self.policy == policy and fnmatchcase(place, self.resource)

    def __str__(self) -> str:
        """As it stands in a report."""
        return f"{self.policy} on {self.resource}: {self.reason} ({self.owner}, until {self.expires})"


class WaiversError(Exception):
    """The file of waivers can't be used."""


def place_of(resource: Resource) -> str:
    """The text that a waiver's pattern is compared with; `STACK/` for the whole stack."""
    return f"{resource.stack}/{resource.kind}/{resource.name}"


def read(path: Path, policies: Collection[str]) -> list[Waiver]:
    """Reads the waivers of a file; none if the file does not exist.

    Raises:
        WaiversError: The file is invalid; the message lists every error.
    """
    if not path.exists():
        return []
    waivers, faults = [], []
    for line, one in _entries(path):
        try:
            waivers.append(msgspec.convert(one, Waiver))
        except msgspec.ValidationError as error:
            faults.append(f"{path.name}, line {line}: {error}")
    if faults:
        raise WaiversError("; ".join(faults))
    unknown = sorted({waiver.policy for waiver in waivers} - set(policies))
    if unknown:
        raise WaiversError(f"{path.name}: no policy is called {', '.join(unknown)}; docs/policies.md lists them")
    return waivers


def _entries(path: Path) -> Iterator[tuple[int, object]]:
    """The entries of the list in a file, each with its line."""
    try:
        loader = yaml.SafeLoader(path.read_text())
        node = loader.get_single_node()
        given = loader.construct_document(node) if node else []
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise WaiversError(f"{path.name}, line {line}: it is not YAML: {error.problem}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WaiversError(f"{path.name}: it can't be read as YAML: {error}") from error
    if isinstance(node, yaml.SequenceNode):
        yield from ((entry.start_mark.line + 1, one) for entry, one in zip(node.value, given, strict=True))
    elif given:
        raise WaiversError(f"{path.name}: it is not a list of waivers")


@dataclass
class Ledger:
    """The waivers, and which of them matched a finding."""

    waivers: list[Waiver]
    today: datetime.date
    used: set[Waiver] = field(default_factory=set)

    def holds(self, policy: str, place: str) -> bool:
        """Whether a valid waiver covers a place."""
        return any(waiver.covers(policy, place) and waiver.expires >= self.today for waiver in self.waivers)

    def waives(self, policy: str, place: str) -> bool:
        """Whether a finding is waived. The waiver counts as used, even if it has expired."""
        for waiver in self.waivers:
            if waiver.covers(policy, place):
                self.used.add(waiver)
                return waiver.expires >= self.today
        return False

    def expired(self) -> Iterator[Waiver]:
        """The waivers that have expired."""
        return (waiver for waiver in self.waivers if waiver.expires < self.today)

    def unused(self, stack: str, policies: Collection[str]) -> Iterator[Waiver]:
        """The waivers for this stack and for a policy that ran, which matched no finding."""
        for waiver in self.waivers:
            here = fnmatchcase(stack, waiver.resource.split("/", 1)[0])
            if here and waiver.policy in policies and waiver not in self.used:
                yield waiver
