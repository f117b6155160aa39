"""Releases of Postgres: which ones a data directory goes with."""

import re
from collections.abc import Mapping
from typing import Any

import pulumi


def major(version: str) -> int:
    """The major release of a release, for example 17 of 17.10."""
    return int(version.split(".", maxsplit=1)[0])


def same_major_release() -> pulumi.ResourceHookBinding:
    """Before a server is updated, in a preview too: the engine alone knows which release it had."""
    hook = pulumi.ResourceHook(
        "postgres-keeps-its-major-release", refuse_another_major, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceHookBinding(before_update=[hook])


def refuse_another_major(args: pulumi.ResourceHookArgs) -> None:
    """Refuse a server of another major release, newer or older, on the data directory that is there.

    Postgres itself can't read it and ends at once. CloudNativePG would upgrade it in place, and then archive a log that
    begins anew over the one that base backups need.

    Raises:
        pulumi.RunError: naming both releases and what to do.
    """
    before, after = _release(args.old_inputs), _release(args.new_inputs)
    if before and after and major(before) != major(after):
        raise pulumi.RunError(
            f'langfuse:postgres.version: "{after}" can\'t read the data of {before}, a different major release; '
            f"keep to {major(before)}, or move the data to a new server (docs/runbooks/postgres-release.md)"
        )


def _release(inputs: Mapping[str, Any] | None) -> str | None:
    """The release of the image, of a StatefulSet or of CloudNativePG's Cluster; None if it has no number."""
    spec = (inputs or {}).get("spec", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    image = next((one.get("image") for one in containers if one.get("name") == "postgres"), spec.get("imageName"))
    tag = re.search(r":(\d+(\.\d+)*)[^/:]*(@|$)", image or "")
    return tag[1] if tag else None
