"""Commands about the images of a stack."""

import typer

from operations.commands.options import ConfigFile, Stack, reported_errors, say
from operations.pulumi import Pulumi

app = typer.Typer(help="Lock the images of a stack to their digests.", no_args_is_help=True)


@app.callback()
def images() -> None:
    """Lock the images of a stack to their digests."""


@app.command()
def lock(*, stack: Stack, config_file: ConfigFile = None) -> None:
    """Look up the digests of a stack's images.

    Asks the registries, or the mirrors in langfuse:images, with the credentials of langfuse:images.pullSecrets and of
    `docker login`. Writes stacks/images.lock.json, which every later update of the stack uses. Run it again
    after a change of a release, and commit the file.
    """
    from operations.images import lock as lock_images  # noqa: PLC0415  # loads pulumi_kubernetes

    with reported_errors():
        say(f"looking up the images of {stack} ...")
        for change in lock_images(Pulumi(stack, config_file)):
            state = "unchanged" if change.before == change.after else "new" if change.before is None else "moved"
            typer.echo(f"{state:9} {change.name}@{change.after}")
            if state == "moved":
                say(f"warning: {change.name} was {change.before}: its tag was moved; check the new image")
