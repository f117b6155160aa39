"""The command that shows the scale for a load."""

import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from components.schema.environment import PROJECT
from components.schema.requests import Pods, Requests
from components.settings.profiles import PROFILES
from components.settings.scales import Load
from operations.commands.options import AsJson, reported_errors
from operations.needs import CHAIN, EVENT_BYTES, MONTH_DAYS, ClickHouseBackups, gigabytes, plain

if TYPE_CHECKING:
    from components.settings.bounds import Bound
    from operations.forecast import Forecast
    from operations.sizing import Sizing

app = typer.Typer()


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{text!r} is not a number of events above 0; write it like 5 or 0.5")
    return value


def _count(text: str | int) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", str(text)):  # the default is a number
        raise typer.BadParameter(f"{text!r} is not a whole number above 0; write it like 30")
    return int(text)


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise typer.BadParameter(f"{text!r} is not a profile; choose one of {', '.join(PROFILES)}")
    return text


@app.command()
def sizing(
    *,
    events_per_second: Annotated[
        float | None,
        typer.Option(parser=_rate, metavar="NUMBER", help="Sustained rate of spans, generations and scores."),
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A day of rates instead: CSV or JSON with hour and events per second."),
    ] = None,
    retention_days: Annotated[
        int, typer.Option(parser=_count, metavar="DAYS", help="Time that ClickHouse keeps events.")
    ],
    event_bytes: Annotated[
        int, typer.Option(parser=_count, metavar="BYTES", help="Average size of an event's JSON: measure yours.")
    ] = EVENT_BYTES,
    profile: Annotated[
        str, typer.Option(parser=_profile, metavar="PROFILE", help=f"One of {', '.join(PROFILES)}.")
    ] = "prod",
    as_json: AsJson = False,
) -> None:
    """Show the scale that a load needs, and what it requests.

    Prints what to write into the stack file, the requests of the pods and volumes, and the arithmetic with its sources.
    """
    # Both load pulumi_kubernetes, for which every other command would wait.
    from components.network.requests import steady_state_pods  # noqa: PLC0415
    from operations.day import read_day  # noqa: PLC0415
    from operations.forecast import Forecast  # noqa: PLC0415
    from operations.sizing import size  # noqa: PLC0415

    if (events_per_second is None) == (load is None):
        raise typer.BadParameter("set one of --events-per-second and --load")
    with reported_errors():
        day = read_day(load) if load else None
        rate = day.mean if day else events_per_second or 0
        wanted = Load(events_per_second=rate, retained_days=retention_days, peak_per_second=day.peak if day else None)
        answer = size(wanted, profile=profile, event_bytes=event_bytes)
    pods, forecast = steady_state_pods(answer.settings), Forecast.of(day, answer.settings) if day else None
    if as_json:
        document = {**_document(answer, pods), **({"day": forecast.document()} if forecast else {})}
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(answer, pods)
        if forecast:
            _print_day(forecast)


def _document(answer: "Sizing", pods: Sequence[Pods]) -> dict[str, object]:
    from components.settings.bounds import bounds  # noqa: PLC0415  # loads pulumi_kubernetes

    return {
        "config": _config(answer),
        "requests": {
            "total": _amounts(sum((item.total for item in pods), start=Requests())),
            "workloads": {item.name: {"replicas": item.replicas, **_amounts(item.each)} for item in pods},
        },
        "needs": [
            {"key": f"{PROJECT}:{need.key}", "least": need.least, "has": need.has, "fits": need.fits}
            | {"formula": need.formula, "source": need.source}
            for need in answer.needs
        ],
        "clickhouseBackups": {
            "full": int(answer.backups.full),
            "increment": int(answer.backups.increment),
            "monthOfCopies": int(answer.backups.month_of_copies),
            "month": int(answer.backups.month),
            "kept": int(answer.backups.kept),
        },
        "bounds": [
            {"key": f"{PROJECT}:{bound.key}", "for": bound.what, "uses": float(bound.uses), "of": float(bound.has)}
            | {"unit": bound.unit, "fits": bound.fits, "formula": bound.formula}
            for bound in bounds(answer.settings)
        ],
    }


def _config(answer: "Sizing") -> dict[str, object]:
    """The entries for the stack file."""
    chosen = {"profile": answer.settings.profile, "scale": answer.scale, **answer.explicit}
    return {f"{PROJECT}:{key}": value for key, value in chosen.items()}


def _print(answer: "Sizing", pods: Sequence[Pods]) -> None:
    from components.settings.bounds import bounds  # noqa: PLC0415  # loads pulumi_kubernetes

    console = Console(width=None if sys.stdout.isatty() else 160)
    if answer.explicit:
        console.print("The load is larger than the largest scale. Set these numbers in the stack file, too:\n")
    else:
        console.print("Set in the stack file:\n")
    console.print(yaml.safe_dump({"config": _config(answer)}, sort_keys=False), highlight=False)
    console.print(_requests(pods))
    arithmetic = Table("key", "at least", "has", "arithmetic", "source", title="Arithmetic", box=box.SIMPLE)
    for need in answer.needs:
        arithmetic.add_row(need.key, str(need.least), str(need.has), need.formula, need.source)
    console.print(arithmetic)
    console.print(_backups(answer.backups))
    console.print(_bounds(bounds(answer.settings)))
    console.print(
        "Not included: Jobs while they run, and media and exports in the object store. Assumptions are this project's, "
        "not Langfuse's: operations/needs.py gives the reason for each.",
        highlight=False,
    )


def _print_day(forecast: "Forecast") -> None:
    """The autoscalers to write into the stack file, and what they do in each hour."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print("Autoscalers for this day:\n")
    entries = {f"{PROJECT}:{name}": value for name, value in forecast.autoscaling().items()}
    console.print(yaml.safe_dump({"config": entries}, sort_keys=False), highlight=False)
    table = Table("hour", "events/s", "web", "worker", "backlog", "wait", title="The day", box=box.SIMPLE)
    for one in forecast.hours:
        cells = (one.events_per_second, one.web, one.worker, one.backlog)
        table.add_row(f"{one.hour:02}:00", *(f"{cell:,g}" for cell in cells), f"{one.wait_seconds} s")
    console.print(table)
    console.print(f"{forecast.arithmetic} Highest numbers of each hour; --json has all of them.", highlight=False)


def _backups(found: ClickHouseBackups) -> Table:
    table = Table("backups of ClickHouse", "size", "arithmetic", title="In the object store", box=box.SIMPLE)
    copies = f"{MONTH_DAYS} x {gigabytes(found.full)}, as releases before backup sets did"
    chain = f"({gigabytes(found.full)} + {CHAIN - 1} x {gigabytes(found.increment)})"
    table.add_row("a month of full copies", gigabytes(found.month_of_copies), copies)
    table.add_row("a month of chains", gigabytes(found.month), f"{math.ceil(MONTH_DAYS / CHAIN)} x {chain}")
    table.add_row("all that backups.keep keeps", gigabytes(found.kept), f"{found.chains} x {chain}")
    return table


def _bounds(found: "Sequence[Bound]") -> Table:
    table = Table("key", "for", "uses", "of", "unit", "arithmetic", title="What has to add up", box=box.SIMPLE)
    for bound in found:
        mark = "" if bound.fits else " (too much)"
        table.add_row(bound.key, bound.what, f"{bound.uses:.0f}{mark}", f"{bound.has:.0f}", bound.unit, bound.formula)
    return table


def _amounts(requests: Requests) -> dict[str, float]:
    return {name: float(getattr(requests, name)) for name in ("cpu", "memory", "storage")}


def _requests(pods: Sequence[Pods]) -> Table:
    table = Table("pods of", "replicas", "cores", "memory", "storage", title="Requests", box=box.SIMPLE)
    for item in pods:
        table.add_row(item.name, str(item.replicas), *_cells(item.total))
    table.add_section()
    table.add_row(
        "all", str(sum(item.replicas for item in pods)), *_cells(sum((item.total for item in pods), start=Requests()))
    )
    return table


def _cells(requests: Requests) -> Sequence[str]:
    """CPU in cores; memory and storage in gibibytes."""
    return plain(requests.cpu), *(f"{value / 1024**3:,.1f} GiB" for value in (requests.memory, requests.storage))
