"""The command that checks a machine and a cluster before anything is deployed."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from components.schema.redaction import Redaction
from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, reported_errors, say
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from operations.doctor.model import Line

app = typer.Typer()


@app.command()
def doctor(*, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check what a stack lacks on this machine or cluster.

    Checks the backend, permissions, kinds, storage, room, webhooks, Secrets, gateway and certificate. Changes nothing.

    Exits with 1 if a check failed, with 2 if the checks could not run.
    """
    from operations.doctor import checks  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        pulumi, hide = Pulumi(stack, config_file), Redaction()
        lines = [line.model_copy(update={"detail": hide(line.detail)}) for line in checks.lines(pulumi, say)]
    if as_json:
        typer.echo(json.dumps([line.model_dump() for line in lines], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_table(lines))
    if any(line.outcome == "failed" for line in lines):
        raise typer.Exit(EXIT_CODES["refused"])


def _table(lines: "Sequence[Line]") -> Table:
    table = Table("area", "check", "outcome", "found", "what to do", box=box.SIMPLE)
    for line in lines:
        table.add_row(line.area, line.check, line.outcome, line.detail, line.fix)
    return table
