"""Waivers: who accepts which finding where, why, and until when.

    - rule: image-by-digest
      resource: "*/*/*"
      reason: No registry can be asked here; the lock file of digests comes with the first deployment.
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

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from langfuse_policies.resources import Resource


class Waiver(BaseModel):
    """One accepted finding."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1)

    rule: str
    resource: str
    reason: str
    owner: str
    #: The last day on which it holds, in UTC.
    expires: datetime.date

    def covers(self, rule: str, place: str) -> bool:
        """Whether it is about this rule at this place, `STACK/KIND/NAME`."""
        return self.rule == rule and fnmatchcase(place, self.resource)

    def __str__(self) -> str:
        """As it stands in a report."""
        return f"{self.rule} on {self.resource}: {self.reason} ({self.owner}, until {self.expires})"


class WaiversError(Exception):
    """The file of waivers can't be used."""


def place_of(resource: Resource) -> str:
    """What a waiver's pattern is compared with; of the stack as a whole it is `STACK/`."""
    return f"{resource.stack}/{resource.kind}/{resource.name}"


def read(path: Path, rules: Collection[str]) -> list[Waiver]:
    """The waivers of a file; none when there is no file.

    Raises:
        WaiversError: It is malformed; every fault is named.
    """
    if not path.exists():
        return []
    try:
        given = yaml.safe_load(path.read_text())
        waivers = TypeAdapter(list[Waiver]).validate_python(given or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WaiversError(f"{path.name}: it can't be read as YAML: {error}") from error
    except ValidationError as error:
        faults = (f"{path.name}[{'.'.join(map(str, one['loc']))}]: {one['msg']}" for one in error.errors())
        raise WaiversError("; ".join(faults)) from error
    unknown = sorted({waiver.rule for waiver in waivers} - set(rules))
    if unknown:
        raise WaiversError(f"{path.name}: no rule is called {', '.join(unknown)}; docs/policies.md lists them")
    return waivers


@dataclass
class Ledger:
    """Which waivers are in force, and which of them were needed."""

    waivers: list[Waiver]
    today: datetime.date
    used: set[Waiver] = field(default_factory=set)

    def waives(self, rule: str, place: str) -> bool:
        """Whether a finding is waived; the waiver counts as used."""
        for waiver in self.waivers:
            if waiver.covers(rule, place):
                self.used.add(waiver)
                return waiver.expires >= self.today
        return False

    def expired(self) -> Iterator[Waiver]:
        """Those whose time is over."""
        return (waiver for waiver in self.waivers if waiver.expires < self.today)

    def unused(self, stack: str, rules: Collection[str]) -> Iterator[Waiver]:
        """Those that could have been used in this stack by one of the rules that ran, and were not."""
        for waiver in self.waivers:
            here = fnmatchcase(stack, waiver.resource.split("/", 1)[0])
            if here and waiver.rule in rules and waiver not in self.used:
                yield waiver
