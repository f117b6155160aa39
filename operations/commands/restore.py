"""The command that restores a stack from a backup set."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, Yes, agreed, reported_errors, say
from operations.errors import OperationError
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from operations.restore import Plan, Restoration, Restore

MOST_TABLES: Final = 12
"""Tables of a store that the plan shows: those whose numbers of rows differ most."""

SetId = Annotated[
    str | None, typer.Option("--set", metavar="ID", help="The set, as `backup list` names it. Default: the newest.")
]
At = Annotated[str | None, typer.Option(metavar="TIME", help="The newest set that was begun by then, in ISO 8601.")]
OneStore = Annotated[Literal["all", "postgres", "clickhouse", "media"], typer.Option(help="Only this store.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what the stores hold. Without it, they have to be empty.")
]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Only show what would be done.")]
Into = Annotated[
    str | None, typer.Option(metavar="OTHER", help="Restore the set into this other stack, to move or to clone.")
]
Clone = Annotated[
    bool, typer.Option("--clone", help="With --into: remove credentials, and everything that sends or costs.")
]
FromOffSite = Annotated[bool, typer.Option("--off-site", help="Take the set from the off-site copy of the stack.")]
Abandon = Annotated[bool, typer.Option("--abandon", help="Give up a restore that is under way.")]

app = typer.Typer()


@app.command()
def restore(  # noqa: PLR0913  # independent options
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    set_id: SetId = None,
    at: At = None,
    store: OneStore = "all",
    overwrite: Overwrite = False,
    into: Into = None,
    clone: Clone = False,
    off_site: FromOffSite = False,
    plan: OnlyPlan = False,
    abandon: Abandon = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Restore a stack from a backup set.

    Shows what would be lost, asks, stops web and worker, restores, compares with the manifest of the set, migrates,
    starts again, and queues raw events again that are newer than the set. After a kill, the same command continues.
    With --into and --off-site, it copies the set into the bucket of the stack first. See docs/runbooks/backups.md.

    Exits with 1 if the restore is refused or not agreed to, with 2 if it failed.
    """
    from operations.restore import Restore  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        _check(into, store, clone=clone, off_site=off_site)
        given = Pulumi(stack, config_file)
        restoring = Restore(Pulumi(into) if into else given, say)
        if abandon:
            restoring.abandon()
            return
        wanted = _continued(restoring, set_id, stack if into else None, clone=clone, overwrite=overwrite)
        if wanted is None:
            source = restoring.source(given if into else None, clone=clone) if into or off_site else None
            wanted, plans = restoring.planned(set_id, at, store, overwrite=overwrite, source=source)
            _show(wanted, plans, as_json=as_json and plan)
            if any(one.refusals for one in plans):
                raise typer.Exit(EXIT_CODES["refused"])
        elif plan:
            _show(wanted, [], as_json=as_json)
        if plan:
            return
        if not agreed(f"Stop web and worker of {into or stack}, and restore?", yes=yes):
            raise typer.Exit(EXIT_CODES["refused"])
        replayed = restoring.carry_out(wanted)
    say(f"restored {', '.join(wanted.stores)} from set {wanted.set}")
    if as_json:
        typer.echo(json.dumps({**wanted.model_dump(), "replayed": replayed}, indent=2))


@app.command()
def replay(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="Events that were received since then, in ISO 8601.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Queue raw events again, as after the loss of Redis.

    Web stores each event in the bucket of events before it answers. Workers process what is queued again as if it had
    just been received. That changes nothing for events that are in ClickHouse already. Prints JSON: how many events
    were seen, queued and skipped, and why.
    """
    from operations.restore import Restore  # noqa: PLC0415  # ditto

    with reported_errors():
        typer.echo(json.dumps(Restore(Pulumi(stack, config_file), say).replay(since, dry_run=dry_run), indent=2))


def _check(into: str | None, store: str, *, clone: bool, off_site: bool) -> None:
    """Refuse options that contradict each other."""
    if clone and not into:
        raise OperationError("--clone needs --into: a stack can't become a clone of itself")
    if into and off_site:
        raise OperationError("--into takes the set from the off-site copy in any case; leave --off-site out")
    if into and store != "all":
        raise OperationError("a stack is moved or cloned as a whole; leave --store out")


def _continued(
    restoring: "Restore", set_id: str | None, other: str | None, *, clone: bool, overwrite: bool
) -> "Restoration | None":
    """The restore that a killed command had begun; None if there is none."""
    found = restoring.under_way()
    if found is None:
        return None
    if set_id not in (None, found.set):
        raise OperationError(
            f"a restore of set {found.set} is under way; continue it without --set, or give it up with --abandon"
        )
    begun = (found.of_other.stack, found.of_other.clone) if found.of_other else (None, False)
    if begun != (other, clone):
        what = f"--stack {begun[0]} --into{' --clone' if begun[1] else ''}" if begun[0] else "a restore without --into"
        raise OperationError(f"{what} is under way in this stack; continue with the same options, or pass --abandon")
    say(f"a restore of {', '.join(found.stores)} from set {found.set} is under way")
    return found.model_copy(update={"overwrite": True}) if overwrite else found


def _show(wanted: "Restoration", plans: "Sequence[Plan]", *, as_json: bool) -> None:
    if as_json:
        found = {**wanted.model_dump(), "plans": [one.model_dump() for one in plans]}
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("store", "table", "rows now", "rows in the set", box=box.SIMPLE)
    for one in plans:
        differing = sorted(one.rows.items(), key=lambda item: -abs((item[1][0] or 0) - (item[1][1] or 0)))
        for name, numbers in differing[:MOST_TABLES]:
            table.add_row(one.store, name, *("no table" if number is None else str(number) for number in numbers))
    console = Console(width=None if sys.stderr.isatty() else 160, stderr=True)
    console.print(f"Set {wanted.set}, begun {wanted.begun}. What was written since then is lost in these stores.")
    for line in _consequences(wanted):
        console.print(line)
    if wanted.since:
        console.print(f"Raw events that were received since {wanted.since} are queued again.")
    console.print(table)
    for one in plans:
        for refusal in one.refusals:
            console.print(f"refused: {one.store}: {refusal}")


def _consequences(wanted: "Restoration") -> "Iterator[str]":
    """What a restore of a set from elsewhere does besides."""
    source = wanted.source
    if source is None:
        return
    yield f"It is copied from the off-site copy of {source.backups} first, with its media."
    if source.stack and source.clone:
        yield "Clone: credentials, integrations, webhooks and passwords are removed, and evaluations are switched off."
        yield "Sign in as the owner that langfuse:firstStart names, or by an identity provider."
    elif source.stack:
        yield f"Move: integrations, webhooks and evaluations work here too. Stop {source.stack} first, or pass --clone."
    if source.stack:
        yield "The keys of this stack in Redis are deleted."
