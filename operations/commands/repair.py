"""The command that repairs a half-applied migration."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, Yes, agreed, reported_errors, say
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from operations.repair import Found

SHOWN_CHARACTERS: Final = 300
"""How much of a statement the table shows. `--json` shows all."""

REPAIRS: Final = {
    "finish": "All of it took effect. It is recorded as finished.",
    "rerun": "It is recorded as not begun, and the next `pulumi up` runs it from the beginning.",
    "continue": "Its other statements are run now, and it is recorded as finished.",
}

UNCLEAR: Final = (
    "If you know whether it did, pass --assume applied or --assume not-applied. Otherwise restore the set from before "
    "the upgrade with `python -m operations restore`."
)

app = typer.Typer()


@app.command()
def repair(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    store: Annotated[Literal["all", "postgres", "clickhouse"], typer.Option(help="Only this store.")] = "all",
    assume: Annotated[
        Literal["applied", "not-applied"] | None,
        typer.Option(help="Whether statements took effect that leave no trace."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Repair a database whose migration was half applied.

    Shows the statements of the migration and which of them took effect, asks, and repairs. After that, run `pulumi up`.
    See docs/runbooks/langfuse-release.md.

    Exits with 1 if a repair is refused or not agreed to, with 2 if it failed.
    """
    from operations.repair import Repair  # noqa: PLC0415  # loads the client of the API server

    repaired: list[Found] = []
    with reported_errors():
        repairs = Repair(Pulumi(stack, config_file), say)
        found = list(repairs.found(store, assume))
        if plan and as_json:
            typer.echo(json.dumps([one.model_dump() for one in found], indent=2))
        waiting = [one for one in found if one.migration is not None]
        while waiting:
            one = waiting.pop(0)
            _show(one)
            if one.refusal:
                raise typer.Exit(EXIT_CODES["refused"])
            if plan:
                continue
            if not agreed(f"Repair {one.store} of {stack}?", yes=yes):
                raise typer.Exit(EXIT_CODES["refused"])
            following = repairs.carry_out(one, assume)
            repaired.append(one)
            if following.migration is not None:
                waiting.insert(0, following)
    if not plan:
        say(_result(repaired, stack, ", ".join(one.store for one in found)))
        if as_json:
            typer.echo(json.dumps({"repaired": [one.model_dump() for one in repaired]}, indent=2))
    elif all(one.migration is None for one in found):
        say(_result([], stack, ", ".join(one.store for one in found)))


def _result(repaired: "list[Found]", stack: str, stores: str) -> str:
    if not repaired:
        return f"no migration is half-applied: {stores}"
    names = ", ".join(f"{one.migration} of {one.store}" for one in repaired)
    return f"repaired {names}; run `pulumi up --stack {stack}` now"


def _show(one: "Found") -> None:
    console = Console(width=None if sys.stderr.isatty() else 160, stderr=True, markup=False, highlight=False)
    console.print(f"Migration {one.migration} of {one.store} was begun and not finished.")
    if one.error:
        console.print(f"The server reported: {one.error}")
    if one.statements:
        table = Table("", "effect", "statement", "because", box=box.SIMPLE)
        for number, statement in enumerate(one.statements, 1):
            table.add_row(str(number), statement.effect, _shortened(statement.sql), statement.why)
        console.print(table)
    if one.refusal:
        console.print(f"refused: {one.refusal}.{f' {UNCLEAR}' if one.unclear else ''}")
        return
    for sql in one.cleanup:
        console.print(f"First, it runs: {sql}")
    console.print(f"The repair: {REPAIRS[one.repair or 'rerun']}")
    if one.error and one.repair == "rerun":
        console.print("It fails again unless the cause of the error is mended.")


def _shortened(sql: str) -> str:
    lines = [line.strip() for line in sql.splitlines() if not line.strip().startswith("--")]
    text = " ".join(line for line in lines if line)
    return f"{text[:SHOWN_CHARACTERS]} ..." if len(text) > SHOWN_CHARACTERS else text
