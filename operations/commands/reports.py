"""Commands that report on a stack, and publish reports on GitHub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from operations import cluster_identity
from operations.changes import guard
from operations.changes import preview as previews
from operations.changes.markdown import COMMENT_CHARACTERS, TITLES, markdown
from operations.changes.model import Report
from operations.commands.options import AsJson, AsMarkdown, ConfigFile, Stack, print_report, reported_errors, say
from operations.errors import OperationError
from operations.github import GitHub
from operations.pulumi import Pulumi

COMMENT_MARKER: Final = "<!-- langfuse preview -->"
ISSUE_MARKER: Final = "<!-- langfuse drift -->"

app = typer.Typer()

Reports = Annotated[list[Path], typer.Argument(metavar="FILE", help="Files that --json has written.")]


@app.command()
def preview(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    acknowledged: Annotated[
        Path, typer.Option(metavar="FILE", show_default="stacks/acknowledged.yaml", help="Intended losses of data.")
    ] = guard.FILE,
    policies: Annotated[bool, typer.Option(help="Check with the policy packs.")] = True,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Preview an update, and refuse it if it would lose data.

    Shows what `pulumi up` would change, what the policy packs find, and what the stack requests of its cluster.

    Exits with 1 if the update is refused, with 2 if the preview failed.
    """
    with reported_errors():
        known = guard.acknowledgements(acknowledged)
        pulumi = Pulumi(stack, config_file)
        cluster_identity.check(pulumi)
        packs = previews.policy_flags(previews.profile_of(pulumi)) if policies else ()
        say(f"previewing {stack} ...")
        report = previews.preview(pulumi, known, packs=packs)
    print_report(report, as_json=as_json, as_markdown=as_markdown)


@app.command()
def policies(*, stack: Stack, as_json: AsJson = False, as_markdown: AsMarkdown = False) -> None:
    """Check a deployed stack with the policy packs.

    Reads the state, in which no value is unknown.

    Exits with 1 if a mandatory policy is violated, with 2 if the check failed.
    """
    with reported_errors():
        pulumi = Pulumi(stack)
        say(f"checking what {stack} deployed ...")
        report = previews.deployed(pulumi, previews.policy_flags(previews.profile_of(pulumi)))
    print_report(report, as_json=as_json, as_markdown=as_markdown)


@app.command()
def drift(
    *, stack: Stack, config_file: ConfigFile = None, as_json: AsJson = False, as_markdown: AsMarkdown = False
) -> None:
    """Show what was changed outside Pulumi.

    Exits with 1 if something was, with 2 if the comparison failed.
    """
    with reported_errors():
        say(f"reading what {stack} deployed ...")
        report = previews.drift(Pulumi(stack, config_file))
    print_report(report, as_json=as_json, as_markdown=as_markdown)


@app.command()
def comment(
    files: Reports,
    *,
    pull_request: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="The pull request.")],
    commit: Annotated[str, typer.Option(metavar="SHA", help="The commit that was previewed.")] = "",
) -> None:
    """Write previews into one comment of a pull request.

    Also prints the text, for a job summary.
    """
    with reported_errors():
        note = f"Of commit {commit}." if commit else ""
        text = markdown(read_reports(files), note=note, characters=COMMENT_CHARACTERS - len(COMMENT_MARKER) - 1)
        typer.echo(text, nl=False)
        GitHub().comment(pull_request, COMMENT_MARKER, text)


@app.command()
def issue(files: Reports) -> None:
    """Open, update or close the GitHub issue about drift.

    Also prints the text, for a job summary.
    """
    with reported_errors():
        reports = read_reports(files)
        text = markdown(reports, characters=COMMENT_CHARACTERS - len(ISSUE_MARKER) - 1)
        typer.echo(text, nl=False)
        needed = any(report.outcome != "fine" for report in reports)
        GitHub().issue(ISSUE_MARKER, TITLES["drift"], text, needed=needed)


def read_reports(files: Sequence[Path]) -> Sequence[Report]:
    """Read reports that `preview --json` or `drift --json` has written.

    Raises:
        OperationError: A file can't be read or holds no report.
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
