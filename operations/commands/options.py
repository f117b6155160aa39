"""Options, messages and errors that commands share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markdown import Markdown

from components.schema.redaction import Redaction
from components.settings.documents import DocumentError
from operations.changes.markdown import markdown
from operations.changes.model import Report
from operations.errors import OperationError

EXIT_CODES: Final = {"fine": 0, "refused": 1, "failed": 2}
"""Exit codes by the outcome of a report. An error is a failure."""

Stack = Annotated[str, typer.Option(metavar="STACK", help="The stack.")]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its configuration, if not stacks/Pulumi.STACK.yaml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for comments and job summaries.")]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def say(text: str) -> None:
    """Print a progress message, where it does not mix with a command's output."""
    typer.echo(text, err=True)


def agreed(question: str, *, yes: bool) -> bool:
    """Ask, unless `yes`. Without a terminal there is nobody to ask.

    Raises:
        OperationError: There is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise OperationError("there is no terminal to ask; pass --yes to agree in advance")
    return typer.confirm(question, err=True)


def print_report(report: Report, *, as_json: bool, as_markdown: bool) -> None:
    """Print a report, and end the command with the exit code of its outcome."""
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif as_markdown or not sys.stdout.isatty():
        typer.echo(markdown([report]), nl=False)
    else:
        Console().print(Markdown(markdown([report])))
    raise typer.Exit(EXIT_CODES[report.outcome])


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print errors without a traceback, and end the command."""
    try:
        yield
    except (DocumentError, OperationError) as error:
        say(f"error: {Redaction()(str(error))}")
        raise typer.Exit(EXIT_CODES["failed"]) from None
