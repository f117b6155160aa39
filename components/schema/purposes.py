"""What buckets are for: each purpose has a bucket, rules and credentials of its own."""

from typing import Literal

Purpose = Literal["events", "media", "exports", "backups"]
PURPOSES: tuple[Purpose, ...] = ("events", "media", "exports", "backups")
