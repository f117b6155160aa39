"""The command that tests a deployed stack."""

import os
from pathlib import Path
from typing import Annotated

import typer

from operations import smoke as smoke_tests
from operations.commands.options import EXIT_CODES, ConfigFile, Stack, reported_errors
from operations.pulumi import Pulumi

app = typer.Typer()


@app.command()
def smoke(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An address of web, such as that of a port-forward, for the public one."),
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="WORDS", help="Tests whose names match (pytest -k).")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report in JUnit's XML.")] = None,
) -> None:
    """Test a deployed stack from end to end.

    Sends traces and a file, reads them back, and looks at pods, route, certificate, stores, queues and backups. Each
    failure names the hop and what to do. Deletes what it sent. Needs kubectl and `make development`.

    Exits with 1 if a test failed, with 2 if the tests could not run.
    """
    with reported_errors():
        found = smoke_tests.run(Pulumi(stack, config_file), os.environ, url=url, only=only, report=report)
    if not found:
        raise typer.Exit(EXIT_CODES["refused"])
