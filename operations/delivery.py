"""The commands that pull requests and deployments run. Each ends with 0: fine, 1: refused, 2: could not be done."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markdown import Markdown

from operations.changes import guard
from operations.changes import preview as previews
from operations.changes.markdown import markdown
from operations.changes.model import Report
from operations.errors import OperationError
from operations.pulumi import Pulumi

EXIT: Final = {"fine": 0, "refused": 1, "failed": 2}

app = typer.Typer()

Stack = Annotated[str, typer.Option(metavar="STACK", help="The stack.")]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its configuration, if not stacks/Pulumi.STACK.yaml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for comments and job summaries.")]


@app.command()
def preview(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    acknowledged: Annotated[
        Path, typer.Option(metavar="FILE", help="Losses of data that this change means.")
    ] = guard.FILE,
    allow_unused: Annotated[
        bool, typer.Option("--allow-unused", help="Accept acknowledgements that nothing needs: for deployments.")
    ] = False,
    policies: Annotated[bool, typer.Option(help="Judge with the policy packs.")] = True,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Say what `pulumi up` would do, what policies find, and refuse what would lose data. 1: refused, 2: no preview."""
    with told():
        known = guard.acknowledgements(acknowledged)
        pulumi = Pulumi(stack, config_file)
        packs = previews.policy_flags(previews.profile_of(pulumi)) if policies else ()
        typer.echo(f"previewing {stack} ...", err=True)
        report = previews.preview(pulumi, known, packs=packs, allow_unused=allow_unused)
    _print(report, as_json=as_json, as_markdown=as_markdown)


@app.command()
def drift(
    *, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False, as_markdown: AsMarkdown = False
) -> None:
    """Say what was changed behind Pulumi's back. 1: something was, 2: it can't be told."""
    with told():
        typer.echo(f"reading what {stack} deployed ...", err=True)
        report = previews.drift(Pulumi(stack, config_file))
    _print(report, as_json=as_json, as_markdown=as_markdown)


def _print(report: Report, *, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif as_markdown or not sys.stdout.isatty():
        typer.echo(markdown([report]), nl=False)
    else:
        Console().print(Markdown(markdown([report])))
    raise typer.Exit(EXIT[report.outcome])


def read_reports(files: Sequence[Path]) -> Sequence[Report]:
    """Reports that `preview --json` or `drift --json` has written.

    Raises:
        OperationError: Naming the file that is none.
    """
    reports = []
    for file in files:
        try:
            reports.append(Report.model_validate_json(file.read_text()))
        except OSError as error:
            raise OperationError(f"{file}: {error.strerror}; write it with `preview --json`") from None
        except ValidationError:
            raise OperationError(f"{file} is not a report; write it with `preview --json` of this version") from None
    return reports


@contextmanager
def told() -> Iterator[None]:
    """Tell what can't be done without a traceback."""
    try:
        yield
    except OperationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT["failed"]) from None
