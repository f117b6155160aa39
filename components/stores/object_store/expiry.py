"""When objects expire by the lifecycle rules of their buckets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.schema.purposes import Purpose
from components.schema.stores import Retention

OUTSIDE_SETS = ("postgres/", "cloudnative-pg/")
"""What is not part of sets: dumps of releases without sets, and the archive of CloudNativePG."""

CHAIN_DAYS = 7
"""How long before a backup of ClickHouse the full one of its chain may have been made."""


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """A lifecycle rule of a bucket: objects whose keys begin with a prefix expire after some days."""

    prefix: str
    days: int


def expiries(retention: Retention, backup_days: int, *, pruned: bool) -> Mapping[Purpose, Sequence[Expiry]]:
    """The rules of each bucket.

    Media never expires: Langfuse recognizes a file that it has seen before by its hash, and would not upload it again.
    Backup sets do not expire either, because time alone must not remove the last one: a Job removes old ones. Only
    where it has no keys for that, a rule does, and waits for the age of a chain in addition.

    Args:
        retention: How long events and exports are kept.
        backup_days: How long backups outside of sets are kept.
        pruned: Whether a Job removes old sets.
    """
    sets = [Expiry(prefix="", days=backup_days + CHAIN_DAYS)]
    return {
        "events": [Expiry(prefix="", days=retention.events_days)],
        "exports": [Expiry(prefix="", days=retention.exports_days)],
        "backups": [Expiry(prefix=prefix, days=backup_days) for prefix in OUTSIDE_SETS] if pruned else sets,
    }
