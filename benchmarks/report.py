"""Formats the results as tables and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.figures import OPERATIONS, SUBJECTS, Figures, Summary, Verdict, differences, ratios, verdicts

PHASES = {
    "started": "interpreter and Pulumi's SDK",
    "imported": "program imported",
    "declared": "configuration read, resources declared",
    "ended": "engine has responded",
}
SANDBOX = {
    "start": "start in an empty folder, s",
    "restart": "start with existing state, s",
    "idle memory": "memory when ready, MiB",
    "memory": "memory with the dev stack, MiB",
}
LOADED = 0.5  # load average per core before the start


@dataclass(frozen=True)
class Setting:
    """The machine and the versions of a benchmark."""

    cores: int
    load: float
    """Load average of the minute before the start."""
    rounds: int
    python: str
    plugins: dict[str, str]
    tools: dict[str, str]

    @property
    def is_loaded(self) -> bool:
        """Whether other processes slow the benchmark down."""
        return self.load > LOADED * self.cores


def show(figures: Figures, setting: Setting, console: Console) -> None:
    """Print all results."""
    console.print(_setting(setting), highlight=False)
    console.print(_operations("Wall-clock seconds: median (range)", figures.wall))
    console.print(_operations("CPU seconds of the CLI and its child processes", figures.cpu))
    console.print(_programs(figures))
    console.print(_sandbox(figures))
    console.print(_previews(figures))
    chain = figures.chains[-1]
    links = " -> ".join(f"{name} {seconds:.1f}" for name, seconds in chain.links)
    console.print(f"Longest chain of the last first up: {links} = {chain.seconds:.1f} s\n", highlight=False)
    console.print(_verdicts(verdicts(figures)))


def as_json(figures: Figures, setting: Setting) -> dict[str, object]:
    """Return all samples and the verdicts."""

    def nested(samples: dict[tuple[str, str], list[float]]) -> dict[str, dict[str, list[float]]]:
        result: dict[str, dict[str, list[float]]] = {}
        for (subject, name), values in samples.items():
            result.setdefault(subject, {})[name] = values
        return result

    return {
        "setting": asdict(setting),
        "wallSeconds": nested(figures.wall),
        "cpuSeconds": nested(figures.cpu),
        "programCpuSeconds": nested(figures.program),
        "changedResources": {f"{subject} {name}": number for (subject, name), number in figures.changed.items()},
        "sandbox": figures.sandbox,
        "previewSeconds": figures.previews,
        "chains": [{"links": chain.links, "seconds": chain.seconds} for chain in figures.chains],
        "verdicts": [{**asdict(verdict), "isMet": verdict.is_met} for verdict in verdicts(figures)],
    }


def _setting(setting: Setting) -> str:
    lines = [
        f"{setting.rounds} rounds on {setting.cores} cores, Python {setting.python}",
        "tools: " + ", ".join(f"{name} {version}" for name, version in setting.tools.items()),
        "plugins: " + ", ".join(f"{name} {version}" for name, version in setting.plugins.items()),
    ]
    if setting.is_loaded:
        lines.append(f"The machine was busy (load {setting.load:.1f}): rely on ratios and CPU time, not on seconds.")
    return "\n".join(lines) + "\n"


def _operations(title: str, samples: dict[tuple[str, str], list[float]]) -> Table:
    table = _table(title, "", *SUBJECTS.values(), "dev / bare", "bare / least")
    for operation, words in OPERATIONS.items():
        found = {subject: samples.get((subject, operation)) for subject in SUBJECTS}
        cells = [Summary.of(values).text() if values else "" for values in found.values()]
        pairs = (("dev", "bare"), ("bare", "least"))
        cells += [ratios(a, b).text(2) if (a := found[above]) and (b := found[below]) else "" for above, below in pairs]
        table.add_row(words, *cells)
    return table


def _programs(figures: Figures) -> Table:
    names = [subject for subject in SUBJECTS if (subject, "declared") in figures.program]
    table = _table(
        "CPU seconds of the program's process in a no-op up, at the end of each phase",
        "",
        *(SUBJECTS[name] for name in names),
    )
    for phase, words in PHASES.items():
        samples = (figures.program.get((name, phase)) for name in names)
        table.add_row(words, *(Summary.of(values).text(2) if values else "" for values in samples))
    return table


def _sandbox(figures: Figures) -> Table:
    table = _table("Sandbox, with built tools", "", "median (range)")
    for name, words in SANDBOX.items():
        table.add_row(words, Summary.of(figures.sandbox[name]).text(0 if "memory" in name else 1))
    return table


def _previews(figures: Figures) -> Table:
    added = ("the packs add", "two empty packs add")
    table = _table("Previews, wall-clock seconds", "", "", "with both packs", *added)
    samples = figures.previews
    for name, plain in samples.items():
        if packs := samples.get(f"{name} with packs"):
            found = [Summary.of(plain), Summary.of(packs), differences(packs, plain)]
            if empty := samples.get(f"{name} with empty packs"):
                found.append(differences(empty, plain))
            table.add_row(name, *(each.text() for each in found))
    for name in ("environments in turn", "environments at once"):
        table.add_row(name, Summary.of(samples[name]).text())
    return table


def _verdicts(found: list[Verdict]) -> Table:
    table = _table("Aims", "", "measured", "limit", "", "explanation")
    for verdict in found:
        large = verdict.limit >= 100  # noqa: PLR2004  # hundreds need no decimals
        met = "[green]met[/]" if verdict.is_met else "[red]missed[/]"
        text = verdict.found.text(0 if large else 2)
        table.add_row(verdict.aim, text, f"<= {verdict.limit:g}", met, verdict.explanation)
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if column in {"", "explanation"} else "right")
    return table
