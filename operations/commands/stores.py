"""The commands that check the stores, and the phase of ingestion."""

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
        lines = store_checks.check(Pulumi(stack, config_file), store_checks.of_stores(store), say)
    _print(sorted(lines, key=lambda one: STORES.index(one.store)), as_json=as_json)


@app.command()
def phase(*, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the phase on the way to version 4 of Langfuse.

    Reads both databases, in the cluster. Shows the configured phase, the phase that the data shows, the progress of the
    backfill, and what blocks the next phase. Every update checks the configured phase before it migrates. See
    docs/runbooks/v3-to-v4.md.

    Exits with 1 if the configured phase is refused, with 2 if the check could not run.
    """
    from operations import store_checks  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        lines = store_checks.check(Pulumi(stack, config_file), store_checks.OF_PHASE, say)
    _print(lines, as_json=as_json)


def _print(lines: "Sequence[Line]", *, as_json: bool) -> None:
    """Print the results, and exit with 1 if something failed."""
    if as_json:
        typer.echo(json.dumps([line.model_dump() for line in lines], indent=2))
    else:
        table = Table("store", "check", "outcome", "found", "what to do", box=box.SIMPLE)
        for line in lines:
            table.add_row(line.store, line.check, line.outcome, line.detail, line.fix)
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    if any(line.outcome == "failed" for line in lines):
        raise typer.Exit(EXIT_CODES["refused"])
