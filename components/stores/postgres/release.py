"""Major releases of Postgres: a data directory belongs to one."""

import re
from collections.abc import Mapping
from typing import Any

import pulumi


def major(version: str) -> int:
    """The major release of a release, for example 17 of 17.10."""
    return int(version.split(".", maxsplit=1)[0])


def same_major_release() -> pulumi.ResourceHookBinding:
    """A hook that runs before a server is updated, also in previews. Only the engine knows the former release."""
    hook = pulumi.ResourceHook(
        "postgres-keeps-its-major-release", refuse_another_major, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceHookBinding(before_update=[hook])


def refuse_another_major(args: pulumi.ResourceHookArgs) -> None:
    """Refuses a server of another major release, newer or older, for an existing data directory.

    A managed server can change to another volume, whose data directory is complete (`upgrade.py`).

    Postgres itself can't read the directory and exits at once. CloudNativePG would upgrade it in place, and then
    archive a new log over the one that base backups need.

    Raises:
        pulumi.RunError: With both releases and what to do.
    """
    before, after = _release(args.old_inputs), _release(args.new_inputs)
    former, claim = _claim(args.old_inputs), _claim(args.new_inputs)
    moves = former is not None and claim is not None and former != claim
    copy = "copy the data with `operations upgrade-postgres`" if claim else "move the data to a new server"
    if before and after and major(before) != major(after) and not moves:
        raise pulumi.RunError(
            f'langfuse:postgres.version: "{after}" can\'t read the data of {before}, a different major release; '
            f"keep to {major(before)}, and {copy} (docs/runbooks/postgres-release.md)"
        )


def _claim(inputs: Mapping[str, Any] | None) -> str | None:
    """The claim of the data in a StatefulSet; None for CloudNativePG, which never changes it."""
    spec = (inputs or {}).get("spec", {})
    volumes = spec.get("template", {}).get("spec", {}).get("volumes", [])
    return next((one["persistentVolumeClaim"]["claimName"] for one in volumes if one.get("name") == "data"), None)


def _release(inputs: Mapping[str, Any] | None) -> str | None:
    """The release in the image of a StatefulSet or of CloudNativePG's Cluster; None if its tag has no number."""
    spec = (inputs or {}).get("spec", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    image = next((one.get("image") for one in containers if one.get("name") == "postgres"), spec.get("imageName"))
    tag = re.search(r":(\d+(\.\d+)*)[^/:]*(@|$)", image or "")
    return tag[1] if tag else None
