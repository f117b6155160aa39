"""Commands that change stacks, and wait for them."""

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from operations import cluster_identity, routes, smoke
from operations import review as review_stacks
from operations.changes import guard
from operations.changes import preview as previews
from operations.changes.markdown import markdown
from operations.commands.options import EXIT_CODES, ConfigFile, Stack, reported_errors, say
from operations.errors import OperationError
from operations.health import wait
from operations.pulumi import Pulumi
from operations.recovery import stack as recovery

app = typer.Typer()

Attempts = Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Most health checks.")]
NoSmoke = Annotated[bool, typer.Option("--no-smoke", help="Do not run the smoke tests.")]
Pause = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Time between two health checks.")]


@app.command()
def deploy(*, stack: Stack, attempts: Attempts = 30, pause: Pause = 10, no_smoke: NoSmoke = False) -> None:
    """Preview a stack, update it, and test it.

    Recovers first from a command that was killed, as `recover` does. Prints the preview as Markdown. Runs the smoke
    tests at the end.

    Exits with 1 if the preview is refused, with 2 if the update failed or the stack is not healthy.
    """
    with reported_errors():
        pulumi = Pulumi(stack)
        if not no_smoke and (lack := smoke.missing()):
            raise OperationError(f"smoke tests need {lack}; or pass --no-smoke")
        recovery.recover(pulumi, say)
        cluster_identity.check(pulumi)
        packs = previews.policy_flags(previews.profile_of(pulumi))
        known = guard.acknowledgements(guard.FILE)
        say(f"previewing {stack} ...")
        # A deployment may be run a second time: then the acknowledged changes are done.
        report = previews.preview(pulumi, known, packs=packs, allow_unused=True)
        typer.echo(markdown([report]), nl=False)
        if report.outcome != "fine":
            raise typer.Exit(EXIT_CODES[report.outcome])
        pulumi.change("up", *packs)
        _wait(pulumi, attempts, pause)
        if not no_smoke and not smoke.run(pulumi, os.environ, output=sys.stderr):
            raise OperationError(f"{stack} is deployed, and smoke tests failed; the lines above say what to do")


@app.command()
def recover(
    *,
    stack: Stack,
    config_file: ConfigFile = None,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Remove the lock of a command that is certainly not running any more.")
    ] = False,
) -> None:
    """Recover a stack from a command that was killed.

    After it, `pulumi up`, `refresh` and `destroy` work again. See docs/runbooks/killed-update.md.
    """
    with reported_errors():
        if not recovery.recover(Pulumi(stack, config_file), say, break_lock=break_lock):
            say(f"stack {stack} has nothing to recover from")


@app.command()
def health(*, stack: Stack, attempts: Attempts = 30, pause: Pause = 10) -> None:
    """Wait until a stack answers in the deployed version.

    If it does not, prints what the cluster says about the objects of the public route: conditions of an HTTPRoute and
    its Gateway, the hosts of an Istio Gateway, the state of Ingresses and Certificates.
    """
    with reported_errors():
        _wait(Pulumi(stack), attempts, pause)


@app.command()
def review(
    *,
    number: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="The pull request.")],
    hours: Annotated[int, typer.Option(metavar="HOURS", min=1, help="Time until the stack expires.")] = 48,
    destroy: Annotated[bool, typer.Option("--destroy", help="Delete the stack instead.")] = False,
) -> None:
    """Deploy a pull request by itself, or delete it.

    The stack is called pr-NUMBER. `sweep` destroys it when it has expired.
    """
    stack = review_stacks.name(number)
    with reported_errors():
        say(f"{'destroying' if destroy else 'deploying'} {stack} ...")
        if destroy:
            review_stacks.destroy(stack, say)
        else:
            expires, flags = datetime.now(UTC) + timedelta(hours=hours), previews.policy_flags("preview")
            typer.echo(review_stacks.up(number, expires, say, flags=flags))


@app.command()
def sweep() -> None:
    """Destroy the review stacks that have expired."""
    with reported_errors():
        review_stacks.sweep(datetime.now(UTC), say)


def _wait(pulumi: Pulumi, attempts: int, pause: float) -> None:
    outputs = pulumi.outputs()
    if "url" not in outputs:
        raise OperationError(f"stack {pulumi.stack} is not deployed; run `pulumi up --stack {pulumi.stack}`")
    url, version = outputs["url"], outputs["versions"]["langfuse"]
    say(f"waiting for version {version} at {url} ...")
    try:
        wait(url, version, attempts=attempts, pause=pause)
    except OperationError as error:
        raise OperationError("\n  ".join([str(error), *routes.explain(pulumi)])) from None
