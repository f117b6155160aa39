"""Review stacks: an installation for each pull request, beside the others, gone when it is closed or expired."""

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
"""On the namespace, for people who look at the cluster."""
EXPIRY: Final = "%Y%m%dT%H%MZ"  # a label takes no colon
STACK: Final = re.compile(r"pr-[1-9]\d*")


def name(number: int) -> str:
    """The stack of a pull request."""
    return f"pr-{number}"


def up(
    number: int,
    expires: datetime,
    tell: Callable[[str], None],
    *,
    flags: Sequence[str] = (),
    template: Path = TEMPLATE,
) -> str:
    """Deploy a pull request, or update it. Returns its address.

    Args:
        number: The pull request's.
        expires: Until when it stays.
        tell: Says what had to be recovered: pipelines of pull requests are cancelled by the next push.
        flags: More flags of `pulumi up`.
        template: What all review stacks have in common.
    """
    stack = name(number)
    with _configured(stack, _settings(stack, expires, template)) as pulumi:
        if stack not in listed():
            # In the folder of the file: `stack init` writes one, and that in `stacks` would be the checkout's.
            pulumi.run("stack", "init", folder=pulumi.folder)
        recover(pulumi, tell)
        pulumi.run("stack", "tag", "set", TAG, expires.astimezone(UTC).strftime(EXPIRY))
        pulumi.change("up", *flags)
        return str(pulumi.outputs()["url"])


def destroy(stack: str, tell: Callable[[str], None]) -> None:
    """Delete everything of a review stack, and the stack. One that is gone already is fine.

    What a deployment that was killed has made is recovered first: else it would stay.

    Raises:
        OperationError: It is not a review stack.
    """
    if not STACK.fullmatch(stack):
        raise OperationError(f'"{stack}" is not a review stack; those are called pr-NUMBER')
    if stack in listed():
        with _configured(stack, {}) as pulumi:
            recover(pulumi, tell)
            pulumi.change("destroy", "--remove")


def expired(now: datetime) -> list[str]:
    """Review stacks whose time is over; one without a time was never finished."""
    found = []
    for stack in filter(STACK.fullmatch, listed()):
        expires = Pulumi(stack).tags().get(TAG)
        if expires is None or datetime.strptime(expires, EXPIRY).replace(tzinfo=UTC) <= now:
            found.append(stack)
    return found


def sweep(now: datetime, tell: Callable[[str], None]) -> None:
    """Destroy what is expired. One that can't be destroyed doesn't keep the others.

    Raises:
        OperationError: Naming every stack that is left.
    """
    problems = []
    for stack in expired(now):
        tell(f"destroying {stack} ...")
        try:
            destroy(stack, tell)
        except OperationError as error:
            problems.append(f"{stack}: {error}")
    if problems:
        raise OperationError("\n  ".join([f"{len(problems)} expired stacks are left:", *problems]))


def _settings(stack: str, expires: datetime, template: Path) -> dict[str, object]:
    """The template's configuration for one stack: a host of its own, and nothing that is hard to delete."""
    if not template.exists():
        raise OperationError(f"there is no {template}; it configures every review stack")
    config = documents.read_stack(template)
    host, patches = config.get(f"{PROJECT}:host"), config.get(f"{PROJECT}:patches", [])
    if not isinstance(host, str):
        raise OperationError(f"{template}: {PROJECT}:host is required; review stacks are reached at pr-NUMBER under it")
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
    """The stack with a file of its own, for as long as it is worked on."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": "python"}))
        file = folder / f"Pulumi.{stack}.yaml"
        file.write_text(yaml.safe_dump({"config": config}))
        yield Pulumi(stack, file)
