"""The command that takes Postgres to another major release."""

import re
from typing import Annotated

import typer

from components.schema import images
from operations.commands.options import ConfigFile, Stack, reported_errors, say
from operations.errors import OperationError
from operations.pulumi import Pulumi

app = typer.Typer()


def _release(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+", text):
        raise typer.BadParameter(f"{text!r} is not a release of Postgres; write it like 18.4")
    return text


@app.command()
def upgrade_postgres(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    to: Annotated[
        str | None, typer.Option(parser=_release, metavar="RELEASE", help="The release of the new server, like 18.4.")
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="Return to the former server.")] = False,
    discard_writes: Annotated[
        bool, typer.Option("--discard-writes", help="With --back: lose what was written since the switch.")
    ] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Delete the former volume.")] = False,
) -> None:
    """Take a managed Postgres to another major release.

    Stops web and worker, copies the database into a new volume, compares both, and switches to it. The former volume is
    kept until `--finish`. A command that was killed is continued by the same command. See
    docs/runbooks/postgres-release.md.
    """
    from operations.cluster import Cluster  # noqa: PLC0415  # takes a second to import
    from operations.images import lock_another  # noqa: PLC0415  # ditto
    from operations.postgres_upgrade import Upgrade  # noqa: PLC0415

    with reported_errors():
        if sum((bool(to), back, finish)) != 1:
            raise OperationError("pass one of --to RELEASE, --back and --finish")
        pulumi = Pulumi(stack, config_file)
        cluster, default = Cluster.of(pulumi), images.POSTGRES.tag
        upgrade = Upgrade(
            pulumi, cluster, say, default=default, lock=lambda to: lock_another(pulumi, images.postgres(to).reference)
        )
        upgrade.prepare()
        if back:
            upgrade.back(discard_writes=discard_writes)
        elif finish:
            upgrade.finish()
        elif to:
            upgrade.forward(to)
        say(f"done: Postgres {upgrade.server.version}; commit the stack file")
