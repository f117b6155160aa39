"""Draws the picture in the README: a Mermaid diagram of a deployed stack's resource graph."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

MARKS = ("<!-- picture: drawn by `make docs` from a deployed stack -->", "<!-- end of picture -->")


class Resource(TypedDict, total=False):
    """A resource in an exported state (ResourceV3 in sdk/go/common/apitype/core.go)."""

    urn: str
    type: str
    parent: str
    dependencies: Sequence[str]


OMITTED = {"pulumi:providers", "kubernetes:core/v1:ServiceAccount", "kubernetes:policy/v1:PodDisruptionBudget"}
"""Kinds that every workload has, and providers."""

ROOT = "langfuse:index:Langfuse"


def draw(resources: Sequence[Resource]) -> str:
    """Draw the components: what each contains, and what it waits for.

    Components are sorted by name: the state lists them in the order in which they were registered, which varies.

    Args:
        resources: `deployment.resources` of `pulumi stack export`.
    """
    by_urn = {item["urn"]: item for item in resources}
    components = sorted(
        (item["urn"] for item in resources if item["type"].startswith("langfuse:") and item["type"] != ROOT), key=_name
    )
    contents: Mapping[str, Counter[str]] = {urn: Counter() for urn in components}
    edges: set[tuple[str, str]] = set()
    for item in resources:
        owner = item.get("parent", "")
        if owner not in contents:
            continue
        kind = item["type"].rsplit(":", 1)[-1]
        if item["type"] not in OMITTED and item["urn"] not in contents:
            contents[owner][kind] += 1
        for dependency in item.get("dependencies", []):
            other = by_urn[dependency].get("parent", "")
            if other in contents and other != owner:
                edges.add((other, owner))
    lines = ["```mermaid", "flowchart LR"]
    lines += [f'    {_name(urn)}["<b>{_title(urn)}</b><br/>{_list(contents[urn])}"]' for urn in components]
    lines += [f"    {_name(before)} --> {_name(after)}" for before, after in sorted(_reduced(edges))]
    return "\n".join([*lines, "```"])


def replace(text: str, picture: str) -> str:
    """Replace what is between the marks by the picture."""
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{picture}\n{MARKS[1]}{after}"


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _title(urn: str) -> str:
    return urn.split("::")[2].rsplit(":", 1)[-1]


def _list(kinds: Counter[str]) -> str:
    return "<br/>".join(f"{number} x {kind}" if number > 1 else kind for kind, number in sorted(kinds.items()))


def _reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges without those that follow from a longer path (the transitive reduction)."""

    def reaches(start: str, end: str, skip: tuple[str, str]) -> bool:
        following = [after for before, after in edges if before == start and (before, after) != skip]
        return end in following or any(reaches(after, end, skip) for after in following)

    return {edge for edge in edges if not reaches(*edge, skip=edge)}
