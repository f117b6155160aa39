"""`python -m operations`: operate a Langfuse installation."""

import typer

from operations.commands import (
    backups,
    clients,
    doctor,
    images,
    postgres,
    repair,
    reports,
    restore,
    sizing,
    smoke,
    stacks,
    stores,
)

app = typer.Typer(
    help="Operate a Langfuse installation: preview, deploy, recover, check.",
    epilog="Exit codes: 0 success, 1 refused or drifted, 2 failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (
    *(doctor.app, sizing.app, reports.app, stores.app, postgres.app, restore.app, repair.app),
    *(stacks.app, smoke.app),
):
    app.add_typer(commands)
app.add_typer(images.app, name="images")
app.add_typer(backups.app, name="backup")
app.add_typer(clients.app, name="clients")

if __name__ == "__main__":
    app(prog_name="python -m operations")
