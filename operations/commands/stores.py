"""The command that checks the stores."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, reported_errors, say
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from operations.store_checks import Line

STORES: Final = ("postgres", "clickhouse", "redis", "object-store")

app = typer.Typer()


def _store(text: str) -> str:
    if text not in STORES:
        raise typer.BadParameter(f"{text!r} is not a store; choose one of {', '.join(STORES)}")
    return text


@app.command()
def check_stores(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    store: Annotated[
        list[str], typer.Option(parser=_store, metavar="STORE", help=f"Only this store: {', '.join(STORES)}.")
    ] = [],  # noqa: B006  # typer reads it
    as_json: AsJson = False,
) -> None:
    """Check that the stores can do what Langfuse needs.

    Runs in the cluster, with the configuration of the stack file, also before it is deployed. Every update does the
    same before it migrates.

    Exits with 1 if a check failed, with 2 if the checks could not run.
    """
    from operations import store_checks  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        lines = store_checks.check(Pulumi(stack, config_file), store, say)
    if as_json:
        typer.echo(json.dumps([line.model_dump() for line in lines], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_table(lines))
    if any(line.outcome == "failed" for line in lines):
        raise typer.Exit(EXIT_CODES["refused"])


def _table(lines: "Sequence[Line]") -> Table:
    table = Table("store", "check", "outcome", "found", "what to do", box=box.SIMPLE)
    for line in sorted(lines, key=lambda one: STORES.index(one.store)):
        table.add_row(line.store, line.check, line.outcome, line.detail, line.fix)
    return table
