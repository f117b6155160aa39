"""Commands for backups."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, Yes, agreed, reported_errors, say
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from operations.backups import BackupSet

GIBIBYTE: Final = 1024**3

SetId = Annotated[
    str, typer.Option("--set", metavar="ID", help="A set, as `backup list` names it. Default: the newest.")
]

app = typer.Typer(help="Take, list, verify and remove backup sets.", no_args_is_help=True)


@app.command()
def now(*, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Take a backup of ClickHouse, and then a set.

    Waits until both are complete, and prints the id of the set.
    """
    from operations.backups import Backups  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        made = Backups(Pulumi(stack, config_file), say).now()
    typer.echo(json.dumps({"id": made}, indent=2) if as_json else made)


@app.command("list")
def list_sets(*, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the sets, the newest first."""
    from operations.backups import Backups  # noqa: PLC0415  # ditto

    with reported_errors():
        sets = Backups(Pulumi(stack, config_file), say).sets()
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in sets], indent=2))
    elif sets:
        Console(width=None if sys.stdout.isatty() else 200).print(_table(sets))
    else:
        say("there is no set")


@app.command()
def verify(*, stack: Stack, config_file: ConfigFile = None, set_id: SetId = "", as_json: AsJson = False) -> None:
    """Compare every file of a set with its manifest.

    Reads them all, and those of its backup of ClickHouse. The verdict is kept beside the set.

    Exits with 1 if a file is missing or differs.
    """
    from operations.backups import Backups  # noqa: PLC0415  # ditto

    with reported_errors():
        verdict = Backups(Pulumi(stack, config_file), say).verify(set_id)
    if as_json:
        typer.echo(verdict.model_dump_json(indent=2))
    else:
        typer.echo("\n".join(verdict.faults) or "every file is as it was written")
    raise typer.Exit(EXIT_CODES["fine" if verdict.ok else "refused"])


@app.command()
def prune(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove what `backups.keep` does not keep.

    Prints what is or would be removed, before it asks.
    """
    from operations.backups import Backups  # noqa: PLC0415  # ditto

    with reported_errors():
        backups = Backups(Pulumi(stack, config_file), say)
        removal = backups.prune(dry_run=True)
        names = [*(f"sets/{one}" for one in removal.sets), *(f"clickhouse/{one}" for one in removal.backups)]
        text = "\n".join(names) or "there is nothing to remove"
        typer.echo(removal.model_dump_json(indent=2) if as_json else text)
        if names and not dry_run and agreed(f"Remove these {len(names)} for good?", yes=yes):
            backups.prune(dry_run=False)


def _table(sets: "Sequence[BackupSet]") -> Table:
    table = Table(
        "set", "finished", "Langfuse", "taken", "ClickHouse", "GiB", "verified", "kept", "restorable", box=box.SIMPLE
    )
    for one in sets:
        manifest = one.manifest or {}
        clickhouse = manifest.get("clickhouse") or {}
        sizes = [file["bytes"] for file in manifest.get("files", ())] + [clickhouse.get("bytes", 0)]
        found = [
            f"{name} {'ok' if verdict.ok else 'FAILED'} {verdict.finished[:10]}"
            for name, verdict in sorted(one.verdicts.items())
        ]
        table.add_row(
            one.id,
            one.finished[:16].replace("T", " "),
            manifest.get("langfuse") or "",
            f"before {manifest['to']}" if manifest.get("reason") == "before-upgrade" else "",
            clickhouse.get("id") or clickhouse.get("by", ""),
            f"{sum(sizes) / GIBIBYTE:.2f}",
            "\n".join(found) or "not yet",
            "yes" if one.kept else "no",
            one.lacks or "yes",
        )
    return table
