"""The commands that pull requests and deployments run. Each ends with 0: fine, 1: refused, 2: could not be done."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markdown import Markdown

from components.schema.redaction import Redaction
from components.settings.documents import DocumentError
from operations import cluster_identity
from operations import review as stacks
from operations.changes import guard
from operations.changes import preview as previews
from operations.changes.markdown import COMMENT_CHARACTERS, TITLES, markdown
from operations.changes.model import Report
from operations.errors import OperationError
from operations.github import GitHub
from operations.health import wait
from operations.pulumi import Pulumi
from operations.recovery.stack import recover as take_up

EXIT: Final = {"fine": 0, "refused": 1, "failed": 2}

COMMENT_MARKER: Final = "<!-- langfuse preview -->"
ISSUE_MARKER: Final = "<!-- langfuse drift -->"

app = typer.Typer()

Stack = Annotated[str, typer.Option(metavar="STACK", help="The stack.")]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its configuration, if not stacks/Pulumi.STACK.yaml.")
]
Reports = Annotated[list[Path], typer.Argument(metavar="FILE...", help="What --json has printed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for comments and job summaries.")]
Attempts = Annotated[int, typer.Option(min=1, help="How often to ask whether it is healthy.")]
Pause = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Between two attempts.")]


@app.command()
def preview(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    acknowledged: Annotated[
        Path, typer.Option(metavar="FILE", help="Losses of data that this change means.")
    ] = guard.FILE,
    policies: Annotated[bool, typer.Option(help="Judge with the policy packs.")] = True,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Say what `pulumi up` would do, what policies find, and refuse what would lose data. 1: refused, 2: no preview."""
    with told():
        known = guard.acknowledgements(acknowledged)
        pulumi = Pulumi(stack, config_file)
        cluster_identity.check(pulumi)
        packs = previews.policy_flags(previews.profile_of(pulumi)) if policies else ()
        typer.echo(f"previewing {stack} ...", err=True)
        report = previews.preview(pulumi, known, packs=packs)
    _print(report, as_json=as_json, as_markdown=as_markdown)


@app.command()
def policies(*, stack: Stack, as_json: AsJson = False, as_markdown: AsMarkdown = False) -> None:
    """Judge what is deployed with the policy packs: nothing is unknown there. 1: a rule is broken, 2: no judgement."""
    with told():
        pulumi = Pulumi(stack)
        typer.echo(f"judging what {stack} deployed ...", err=True)
        report = previews.deployed(pulumi, previews.policy_flags(previews.profile_of(pulumi)))
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


@app.command()
def comment(
    files: Reports,
    *,
    pull_request: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Where to comment.")],
    commit: Annotated[str, typer.Option(metavar="SHA", help="The commit that was previewed.")] = "",
) -> None:
    """Write previews into the one comment of a pull request, and print it for a job summary."""
    with told():
        note = f"Of commit {commit}." if commit else ""
        text = markdown(read_reports(files), note=note, characters=COMMENT_CHARACTERS - len(COMMENT_MARKER) - 1)
        typer.echo(text, nl=False)
        GitHub().comment(pull_request, COMMENT_MARKER, text)


@app.command()
def issue(files: Reports) -> None:
    """Open, update or close the one issue about drift, and print its text for a job summary."""
    with told():
        reports = read_reports(files)
        text = markdown(reports, characters=COMMENT_CHARACTERS - len(ISSUE_MARKER) - 1)
        typer.echo(text, nl=False)
        needed = any(report.outcome != "fine" for report in reports)
        GitHub().issue(ISSUE_MARKER, TITLES["drift"], text, needed=needed)


@app.command()
def deploy(*, stack: Stack, attempts: Attempts = 30, pause: Pause = 10) -> None:
    """Update a stack if its preview is not refused, and wait until it answers. Prints the preview as Markdown.

    Recovers first from a command that was killed, as `recover` does.
    """
    with told():
        pulumi = Pulumi(stack)
        take_up(pulumi, _say)
        cluster_identity.check(pulumi)
        packs = previews.policy_flags(previews.profile_of(pulumi))
        known = guard.acknowledgements(guard.FILE)
        typer.echo(f"previewing {stack} ...", err=True)
        # What is acknowledged is done already when a deployment is run a second time.
        report = previews.preview(pulumi, known, packs=packs, allow_unused=True)
        typer.echo(markdown([report]), nl=False)
        if report.outcome != "fine":
            raise typer.Exit(EXIT[report.outcome])
        pulumi.change("up", *packs)
        _wait(pulumi, attempts, pause)


@app.command()
def recover(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Take away the lock of a command that you know to be gone.")
    ] = False,
) -> None:
    """Recover a stack from an `up`, `refresh` or `destroy` that was killed, so that the next one works."""
    with told():
        if not take_up(Pulumi(stack, config_file), _say, break_lock=break_lock):
            _say(f"stack {stack} has nothing to recover from")


@app.command()
def health(*, stack: Stack, attempts: Attempts = 30, pause: Pause = 10) -> None:
    """Wait until a deployed stack answers at its address, in the version that was deployed."""
    with told():
        _wait(Pulumi(stack), attempts, pause)


def _wait(pulumi: Pulumi, attempts: int, pause: float) -> None:
    outputs = pulumi.outputs()
    if "url" not in outputs:
        raise OperationError(f"stack {pulumi.stack} is not deployed; run `pulumi up --stack {pulumi.stack}`")
    url, version = outputs["url"], outputs["versions"]["langfuse"]
    typer.echo(f"asking {url} for version {version} ...", err=True)
    wait(url, version, attempts=attempts, pause=pause)


@app.command()
def review(
    *,
    number: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="The pull request.")],
    hours: Annotated[int, typer.Option(min=1, help="How long it stays after this update.")] = 48,
    destroy: Annotated[bool, typer.Option("--destroy", help="Delete it instead.")] = False,
) -> None:
    """Deploy a pull request as stack pr-NUMBER in a namespace of its own, or delete that."""
    stack = stacks.name(number)
    with told():
        typer.echo(f"{'destroying' if destroy else 'deploying'} {stack} ...", err=True)
        if destroy:
            stacks.destroy(stack, _say)
        else:
            flags = previews.policy_flags("preview")
            typer.echo(stacks.up(number, datetime.now(UTC) + timedelta(hours=hours), _say, flags=flags))


@app.command()
def sweep() -> None:
    """Destroy every review stack whose time is over."""
    with told():
        stacks.sweep(datetime.now(UTC), _say)


def _say(text: str) -> None:
    typer.echo(text, err=True)


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
    except (DocumentError, OperationError) as error:
        typer.echo(f"error: {Redaction()(str(error))}", err=True)
        raise typer.Exit(EXIT["failed"]) from None
