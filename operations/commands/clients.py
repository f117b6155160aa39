"""Commands for the applications that send traces."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from components.schema.redaction import Redaction
from operations.commands.options import EXIT_CODES, AsJson, ConfigFile, Stack, Yes, agreed, reported_errors, say
from operations.errors import OperationError
from operations.pulumi import Pulumi

if TYPE_CHECKING:
    from operations.clients.hops import Result
    from operations.clients.stack import Client

app = typer.Typer(help="The applications that send traces.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The client: its key in langfuse:clients.")]


@app.command("list")
def list_clients(*, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the clients, and what exists of them."""
    from operations.clients.stack import Clients  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        found = Clients(Pulumi(stack, config_file), say).found()
    if as_json:
        typer.echo(json.dumps([client.model_dump() for client in found], indent=2))
    elif found:
        Console(width=None if sys.stdout.isatty() else 200).print(_list(found))
    else:
        say(f"stack {stack} has no clients; docs/clients.md describes how to add one")


@app.command()
def check(
    name: Name,
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A label of its pods by which network policies select them."),
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="An image with Node. Default: that of the worker.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a trace as a client does, and read it back.

    Uses the client's own credentials, in a pod in its namespace. For a client outside of the cluster, sends from this
    machine. The trace `langfuse-check` is deleted at the end.

    Exits with 1 if a hop failed, with 2 if no trace could be sent.
    """
    from operations.clients import check as checks  # noqa: PLC0415  # loads the client of the API server
    from operations.clients.stack import Clients  # noqa: PLC0415  # ditto

    with reported_errors():
        labels = dict(_pair(text) for text in label or ())
        clients, hide = Clients(Pulumi(stack, config_file), say), Redaction()
        found = [
            one.model_copy(update={"detail": hide(one.detail)})
            for one in checks.check(clients, name, say, image=image, labels=labels)
        ]
    if as_json:
        typer.echo(json.dumps([one.model_dump() for one in found], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(_hops(found))
    if any(one.outcome == "failed" for one in found):
        raise typer.Exit(EXIT_CODES["refused"])


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The client: its key in langfuse:clients.")] = "",
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    public_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Another key pair: its public key, for example a rotated one.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete a key pair, so that Langfuse refuses it.

    Its traces stay. Remove the client from the stack file then, or raise `epoch` of its keys: otherwise the next update
    creates the same key pair again.
    """
    from operations.clients.stack import Clients  # noqa: PLC0415  # loads the client of the API server

    with reported_errors():
        if bool(name) == bool(public_key):
            raise OperationError("name a client, or pass --public-key")
        clients = Clients(Pulumi(stack, config_file), say)
        if name:
            clients.client(name)
        key = public_key or clients.keys(name)[0]
        shown = f"client {name}" if name else f"key {key}"
        if not agreed(f"Delete the key pair of {shown}? Its requests are refused at once.", yes=yes):
            raise typer.Exit(EXIT_CODES["refused"])
        project = clients.revoke(key)
    say(f"deleted the key pair {key} of project {project}" if project else f"Langfuse had no key pair {key}")
    if name:
        say(
            f"now remove langfuse:clients.{name} from the stack file, or raise epoch of its publicKey and secretKey, "
            f"and run `pulumi up --stack {stack}`: otherwise an update of the release creates the key pair again"
        )


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise OperationError(f"--label {text}: is not KEY=VALUE")
    return key, value


def _list(found: "Sequence[Client]") -> Table:
    table = Table("name", "kind", "namespace", "environment", "project", "Secret", "ConfigMap", "keys", box=box.SIMPLE)
    exists = {True: "exists", False: "missing", None: "-"}
    for one in found:
        where = one.namespace or "(outside)"
        row = (one.name, one.kind, where, one.environment or "default", one.project)
        table.add_row(*row, exists[one.secret], exists[one.config_map], one.keys)
    return table


def _hops(found: "Sequence[Result]") -> Table:
    table = Table("hop", "outcome", "found", "what to do", box=box.SIMPLE)
    for one in found:
        table.add_row(one.hop, one.outcome, one.detail, one.fix)
    return table
