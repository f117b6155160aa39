"""The corpus: manifests with exactly one fault, and good ones, for every policy.

`corpus/POLICY.yaml` holds cases. Each starts from the manifests of a base (`corpus/base/NAME.yaml`), a list of changes
makes it bad, or different and still good:

    bad:
      - name: a privileged sidecar
        base: web
        change:
          - {in: Deployment/langfuse-web, set: "spec.template.spec.containers[0].securityContext.privileged", to: true}
        also: [restricted-volumes]       # policies that rightly object to the same fault, if any
    good:
      - name: ...

A change sets (`set`, `to`) or removes (`remove`) the field at a path of the object that `in` names as KIND/NAME (with
`x-pulumi` for options; `env.SALT` leads to the element of that name), deletes the whole object (`delete: KIND/NAME`),
or adds one (`add: {apiVersion: ...}`).
`base: none` starts from nothing.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import resources_of

FOLDER = Path(__file__).parent / "corpus"
_STEP = re.compile(r"\[(\d+)\]|\[\"([^\"]+)\"\]|\.?([^.\[\]]+)")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One set of manifests and what is wrong with it."""

    policy: str
    name: str
    manifests: tuple[Manifest, ...]
    bad: bool
    also: frozenset[str]

    @cached_property
    def resources(self) -> list[Resource]:
        return [_resource(manifest) for manifest in self.manifests]


def texts() -> Iterator[str]:
    """All files of the corpus."""
    for path in sorted(FOLDER.rglob("*.yaml")):
        yield path.read_text()


@cache
def cases() -> list[Case]:
    return [case for path in sorted(FOLDER.glob("*.yaml")) for case in _of_file(path)]


def _of_file(path: Path) -> list[Case]:
    (given,) = _documents(path)
    return [
        Case(
            policy=path.stem,
            name=case["name"],
            manifests=_changed(_base(case["base"]), case.get("change", [])),
            bad=kind == "bad",
            also=frozenset(case.get("also", [])),
        )
        for kind in ("bad", "good")
        for case in given[kind]
    ]


@cache
def _base(name: str) -> tuple[Manifest, ...]:
    if name == "none":
        return ()
    return tuple(one for one in _documents(FOLDER / "base" / f"{name}.yaml") if one)


def _documents(path: Path) -> Iterator[Any]:
    yield from yaml.load_all(path.read_text(), yaml.CSafeLoader)  # a tenth of the time that `safe_load_all` takes


def _resource(manifest: Manifest) -> Resource:
    """What a base's manifests become is made once, and told by its identity: so its findings can be remembered."""
    if id(manifest) not in _made:
        (made,) = resources_of([manifest])
        _made[id(manifest)] = (manifest, made)
    return _made[id(manifest)][1]


_made: dict[int, tuple[Manifest, Resource]] = {}  # with the manifest, so that no other gets its identity


def _changed(base: tuple[Manifest, ...], changes: list[dict[str, Any]]) -> tuple[Manifest, ...]:
    """The base with its changes. Only the objects that a change is about are copied."""
    manifests = list(base)
    for change in changes:
        if "add" in change:
            manifests.append(change["add"])
        elif "delete" in change:
            manifests.remove(_named(manifests, change["delete"]))
        else:
            found = _named(manifests, change["in"])
            own = copy.deepcopy(found)
            manifests[next(index for index, one in enumerate(manifests) if one is found)] = own
            _apply(own, change)
    return tuple(manifests)


def _named(manifests: list[Manifest], reference: str) -> Manifest:
    kind, _, name = reference.partition("/")
    found = [one for one in manifests if one.get("kind") == kind and one["metadata"].get("name") == name]
    assert len(found) == 1, f"{reference} names {len(found)} objects"
    return found[0]


def _apply(manifest: Manifest, change: dict[str, Any]) -> None:
    path = change.get("set", change.get("remove"))
    steps: list[str | int] = [
        int(index) if index else quoted or word for index, quoted, word in _STEP.findall(str(path))
    ]
    place: Any = manifest
    for key, following in pairwise(steps):
        step = _position(place, key)
        if isinstance(place, dict) and step not in place:
            assert "set" in change, f"there is no {path}"
            place[step] = [] if isinstance(following, int) else {}
        place = place[step]
    last = _position(place, steps[-1])
    if "remove" in change:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(change["to"])
    else:
        place[last] = change["to"]


def _position(place: Any, step: str | int) -> str | int:  # noqa: ANN401  # whatever a manifest holds
    """Where a step leads: in a list, a name leads to the element of this name, or behind the last one."""
    if isinstance(place, list) and isinstance(step, str):
        return next(
            (index for index, one in enumerate(place) if isinstance(one, dict) and one.get("name") == step), len(place)
        )
    return step
