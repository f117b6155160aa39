"""The purposes of buckets. Each purpose has its own bucket, lifecycle rules and credentials."""

from collections.abc import Mapping, Sequence
from typing import Literal

Purpose = Literal["events", "media", "exports", "backups"]
PURPOSES: tuple[Purpose, ...] = ("events", "media", "exports", "backups")


def shared_buckets(names: Mapping[Purpose, str]) -> Mapping[str, Sequence[Purpose]]:
    """The purposes of each bucket that has more than one."""
    purposes = {name: [purpose for purpose in names if names[purpose] == name] for name in names.values()}
    return {name: found for name, found in purposes.items() if len(found) > 1}
