"""Review stacks: an installation for each pull request, destroyed when it is closed or the stack expires."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from components.schema.environment import PROJECT
from components.settings import documents
from operations.errors import OperationError
from operations.pulumi import STACKS, Pulumi, listed
from operations.recovery.stack import recover

TEMPLATE: Final = STACKS / "review.yaml"
TAG: Final = "expires"
LABEL: Final = "review/expires"
"""A label of the namespace, for people who look at the cluster."""
EXPIRY: Final = "%Y%m%dT%H%MZ"  # a label takes no colon
STACK: Final = re.compile(r"pr-[1-9]\d*")


def name(number: int) -> str:
    """The name of the stack of a pull request."""
    return f"pr-{number}"


def up(
    number: int,
    expires: datetime,
    say: Callable[[str], None],
    *,
    flags: Sequence[str] = (),
    template: Path = TEMPLATE,
) -> str:
    """Deploy a pull request, or update it. Returns its address.

    Args:
        number: The number of the pull request.
        expires: When the stack expires.
        say: Prints what was recovered: the next push cancels the pipeline of a pull request.
        flags: More flags of `pulumi up`.
        template: The configuration that all review stacks share.
    """
    stack = name(number)
    with _configured(stack, _settings(stack, expires, template)) as pulumi:
        if stack not in listed():
            # `stack init` writes a stack file: here into the folder of the temporary one, not into `stacks`.
            pulumi.run("stack", "init", folder=pulumi.folder)
        recover(pulumi, say)
        pulumi.run("stack", "tag", "set", TAG, expires.astimezone(UTC).strftime(EXPIRY))
        pulumi.change("up", *flags)
        return str(pulumi.outputs()["url"])


def destroy(stack: str, say: Callable[[str], None]) -> None:
    """Delete a review stack with all its resources, if it exists.

    Recovers first from a deployment that was killed: otherwise objects that it created would stay.

    Raises:
        OperationError: The stack is not a review stack.
    """
    if not STACK.fullmatch(stack):
        raise OperationError(f'"{stack}" is not a review stack; review stacks are called pr-NUMBER')
    if stack in listed():
        with _configured(stack, {}) as pulumi:
            recover(pulumi, say)
            pulumi.change("destroy", "--remove")


def expired(now: datetime) -> list[str]:
    """Review stacks that have expired. A stack without a time was not completely created, and counts as expired."""
    found = []
    for stack in filter(STACK.fullmatch, listed()):
        expires = Pulumi(stack).tags().get(TAG)
        if expires is None or datetime.strptime(expires, EXPIRY).replace(tzinfo=UTC) <= now:
            found.append(stack)
    return found


def sweep(now: datetime, say: Callable[[str], None]) -> None:
    """Destroy the stacks that have expired. A failure does not stop the others.

    Raises:
        OperationError: Some stacks are left; the message names them.
    """
    problems = []
    for stack in expired(now):
        say(f"destroying {stack} ...")
        try:
            destroy(stack, say)
        except OperationError as error:
            problems.append(f"{stack}: {error}")
    if problems:
        raise OperationError("\n  ".join([f"{len(problems)} expired stacks could not be destroyed:", *problems]))


def _settings(stack: str, expires: datetime, template: Path) -> dict[str, object]:
    """The configuration of one stack: the template with its own host, and without protection from deletion."""
    if not template.exists():
        raise OperationError(f"{template} does not exist; it configures every review stack")
    config = documents.read_stack(template)
    host, patches = config.get(f"{PROJECT}:host"), config.get(f"{PROJECT}:patches", [])
    if not isinstance(host, str):
        raise OperationError(f"{template}: {PROJECT}:host is required; review stacks get the hosts pr-NUMBER under it")
    if not isinstance(patches, list):
        raise OperationError(f"{template}: {PROJECT}:patches must be a list")
    namespace = f"{PROJECT}-{stack}"
    label = {LABEL: expires.astimezone(UTC).strftime(EXPIRY)}
    return {
        **config,
        f"{PROJECT}:profile": "preview",
        f"{PROJECT}:namespace": namespace,
        f"{PROJECT}:host": f"{stack}.{host}",
        f"{PROJECT}:protect": False,
        f"{PROJECT}:patches": [
            *patches,
            {"kind": "Namespace", "name": namespace, "patch": {"metadata": {"labels": label}}},
        ],
    }


@contextmanager
def _configured(stack: str, config: dict[str, object]) -> Iterator[Pulumi]:
    """The stack with a temporary stack file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": "python"}))
        file = folder / f"Pulumi.{stack}.yaml"
        file.write_text(yaml.safe_dump({"config": config}))
        yield Pulumi(stack, file)
