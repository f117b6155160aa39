"""Writes reports as Markdown that fits into a comment."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from operations.changes.guard import resource_of
from operations.changes.model import Action, Capacity, Change, Finding, Report, name_of, type_of

COMMENT_CHARACTERS: Final = 65_536
"""GitHub refuses a longer body: "Body is too long (maximum is 65536 characters)"."""

TITLES: Final = {
    "update": "What this change does",
    "drift": "What was changed outside Pulumi",
    "state": "What the policies find in what is deployed",
}
NOTHING: Final = {"update": "no changes", "drift": "no drift", "state": "no violations"}
FOUND: Final = {"delete": "deleted", "update": "changed", "create": "new", "replace": "replaced"}
"""Words for the changes that a refresh finds."""

ORDER: Final[tuple[Action, ...]] = ("replace", "delete", "create", "update")
SEVERITIES: Final = {"critical": 0, "high": 1, "medium": 2, "low": 3}
PATHS: Final = 3  # a reader needs the place, not every line
NAMES: Final = 8
TEXT: Final = 600
NAME: Final = 150
ROWS: Final = (1000, 300, 100, 30, 10, 3, 1, 0)
"""Numbers of rows that a table may have. The first number with which the whole text fits is used."""


def markdown(reports: Sequence[Report], *, note: str = "", characters: int = COMMENT_CHARACTERS) -> str:
    """Write every report under one title. Tables that do not fit say how many rows they leave out."""
    title = TITLES[next((report.of for report in reports if report.of != "update"), "update")]
    texts = ("\n\n".join([f"## {title}", *(_stack(report, rows) for report in reports), note]) for rows in ROWS)
    text = ""
    for text in texts:
        if len(text.strip()) < characters:
            break
    return text.strip()[: characters - 1] + "\n"


def _stack(report: Report, rows: int) -> str:
    parts = [f"### {_code(report.stack)}: {_heading(report)}"]
    if report.problems:
        parts.append(_limited([f"- {_text(problem)}" for problem in report.problems], rows, "problems"))
    if report.guard.refused:
        parts.append(_refused(report, rows))
    if report.guard.unused:
        unused = [f"- {_code(entry)}" for entry in report.guard.unused]
        note = (
            "**Acknowledged, but not needed.** Remove this from `stacks/acknowledged.yaml`, because it would permit a "
            "later loss."
        )
        parts.append(f"{note}\n\n{_limited(unused, rows, 'acknowledgements')}")
    if report.changes:
        header = "| | resource | property |\n|---|---|---|\n"
        lines = map(_found, report.changes) if report.of == "drift" else _rows(report)
        parts.append(header + _limited([*lines], rows, "rows", cells=3))
    if stopping := [finding for finding in report.findings if finding.stops]:
        parts.append(_findings([[finding] for finding in stopping], rows))
    if report.changes and report.of == "update" and not report.problems:  # after a problem the requests are unknown
        parts.append(_capacity(report.capacity))
    if advice := [finding for finding in report.findings if not finding.stops]:
        rules = _by_policy(advice)
        heading = f"Advice: {len(advice)} finding{'s' if len(advice) > 1 else ''} of {len(rules)} policies"
        parts.append(f"<details><summary>{heading}</summary>\n\n{_findings(rules, rows)}\n\n</details>")
    return "\n\n".join(parts)


def _heading(report: Report) -> str:
    counts = Counter(change.action for change in report.changes)
    words = {action: FOUND[action] if report.of == "drift" else f"to {action}" for action in ORDER}
    done = ", ".join(f"{counts[action]} {words[action]}" for action in ORDER if counts[action])
    stopping = sum(finding.stops for finding in report.findings)
    if not done and not report.problems and not (report.of == "state" and stopping):
        done = NOTHING[report.of]
    why = {
        "**failed**": report.outcome == "failed",
        "**refused: loses data**": bool(report.guard.refused),
        "**refused: stale acknowledgement**": bool(report.guard.unused),
        f"**refused by {stopping} policy finding{'s' if stopping > 1 else ''}**": bool(stopping),
    }
    return "; ".join([*([done] if done else []), *(reason for reason, holds in why.items() if holds)])


def _refused(report: Report, rows: int) -> str:
    entries = [
        f'- stack: {report.stack}\n  resource: {resource_of(change)}\n  action: {change.action}\n  reason: ""'
        for change in report.guard.refused[:rows]
    ]
    left = len(report.guard.refused) - len(entries)
    return "\n".join(
        [
            "**This update would lose data.** If that is intended, add to `stacks/acknowledged.yaml`, with a reason:",
            "",
            *(["```yaml", *entries, "```"] if entries else []),
            *([f"{left} more are left out."] if left else []),
        ]
    )


def _rows(report: Report) -> Iterator[str]:
    for action in ORDER:
        changes = [change for change in report.changes if change.action == action]
        yield from _created(changes) if action == "create" else map(_row, changes)


def _row(change: Change) -> str:
    paths = [*map(_code, change.because)]
    loss = change.action in {"replace", "delete"}
    if change.follows and not paths:
        reason = f"follows the claim {_code(name_of(change.follows))}"
    else:
        reason = _some(paths, PATHS) if paths else "a dependency" if change.action == "replace" else ""
    return f"| {f'**{change.action}**' if loss else change.action} | {change.kind} {_code(change.name)} | {reason} |"


def _found(change: Change) -> str:
    paths = [*map(_code, change.because)]
    return f"| {FOUND[change.action]} | {change.kind} {_code(change.name)} | {_some(paths, PATHS)} |"


def _created(changes: Iterable[Change]) -> Iterator[str]:
    """A row for each kind of new resource, without reasons."""
    kinds: dict[str, list[str]] = {}
    for change in changes:
        kinds.setdefault(change.kind, []).append(_code(change.name))
    for kind, names in kinds.items():
        number = f" ({len(names)})" if len(names) > 1 else ""
        yield f"| create | {kind}{number} {_some(names, NAMES)} | |"


def _by_policy(findings: Sequence[Finding]) -> Sequence[Sequence[Finding]]:
    """The findings of each policy together, the most severe first."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.policy, []).append(finding)
    return sorted(found.values(), key=lambda same: SEVERITIES.get(same[0].severity, len(SEVERITIES)))


def _findings(groups: Sequence[Sequence[Finding]], rows: int) -> str:
    """A row for each group of findings of one policy, with the message of the first one."""
    lines = [
        f"| {_code(first.policy)} | {_text(first.severity)} | {_places([first, *more])} | {_text(first.message)} |"
        for first, *more in groups
    ]
    header = "| policy | severity | resource | finding and remedy |\n|---|---|---|---|\n"
    return header + _limited(lines, rows, "findings", cells=4)


def _places(findings: Sequence[Finding]) -> str:
    return _some([*dict.fromkeys(map(_where, findings))], PATHS)


def _where(finding: Finding) -> str:
    if not finding.urn or type_of(finding.urn) == "pulumi:pulumi:Stack":
        return "the stack"
    return f"{type_of(finding.urn).rpartition(':')[2]} {_code(name_of(finding.urn))}"


def _capacity(capacity: Capacity) -> str:
    amounts = (("cpu", "CPU", "cores", 1), ("memory", "memory", "GiB", 1024**3), ("storage", "storage", "GiB", 1024**3))
    return "Requests: " + ", ".join(
        f"{what} {_amount(getattr(capacity.before, field) / size, getattr(capacity.after, field) / size, unit)}"
        for field, what, unit, size in amounts
    )


def _amount(before: Decimal, after: Decimal, unit: str) -> str:
    if before == after:
        return f"{_plain(after)} {unit}"
    return f"{_plain(before)} → **{_plain(after)} {unit}** ({_plain(after - before, sign='+')})"


def _plain(value: Decimal, sign: str = "") -> str:
    rounded = f"{value:{sign},.2f}"
    return rounded.rstrip("0").rstrip(".")


def _limited(lines: Sequence[str], rows: int, what: str, cells: int = 0) -> str:
    left = len(lines) - rows
    note = f"{left} of {len(lines)} {what} are left out." if left > 0 else ""
    if note and cells:
        note = f"| {note} " + "| " * (cells - 1) + "|"
    return "\n".join([*lines[:rows], *([note] if note else [])])


def _some(items: Sequence[str], most: int) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _code(text: str) -> str:
    """A name as code. Nothing in it acts as Markdown, as a mention or as the end of a cell."""
    line = _clipped(" ".join(text.split()).replace("`", "'"), NAME)
    return f"`{line}`".replace("|", "\\|")


def _text(text: str) -> str:
    """Foreign text on one line. Nothing in it acts as Markdown, as HTML or as a mention."""
    line = html.escape(_clipped(" ".join(text.split()), TEXT), quote=False)
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", line).replace("@", "@\u200b")


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
