"""Checks of backups and off-site copies."""

import json
import math
from collections.abc import Iterator

from components.schema.environment import Settings
from components.schema.schedules import schedule
from components.stores.modes import StoreModes

MINUTES_A_DAY = 24 * 60


def raw_events_outlive_backups(settings: Settings) -> Iterator[str]:
    """Raw events replay what a restored backup lacks, so they must be kept until the next backup but one."""
    days, gap = settings.object_store.events_days, schedule(settings.backups.clickhouse_schedule).longest_gap
    if math.isinf(gap):
        yield "backups.clickhouseSchedule: does not run every year; back up more often"
    elif days < (shortest := 2 * math.ceil(gap / MINUTES_A_DAY)):
        yield (
            f"objectStore.eventsDays: {days} is less than twice the days between two "
            f"ClickHouse backups; set it to {shortest} or more, or back up more often"
        )


def kept_periods_add_up(settings: Settings) -> Iterator[str]:
    """A number of weeks or months that reaches no further back than the shorter periods keeps nothing more."""
    keep = settings.backups.keep
    if 0 < 7 * keep.weekly <= keep.daily:
        yield (
            f"backups.keep.weekly: {keep.weekly} weeks reach no further back than {keep.daily} days; set it to "
            f"{keep.daily // 7 + 1} or more, or to 0"
        )
    if 0 < 28 * keep.monthly <= (days := max(keep.daily, 7 * keep.weekly)):
        yield (
            f"backups.keep.monthly: {keep.monthly} months reach no further back than the days and weeks; set it to "
            f"{days // 28 + 1} or more, or to 0"
        )


def off_site_store_is_separate(settings: Settings) -> Iterator[str]:
    """A copy in the same store is lost with the original. A copy in its own source bucket would be copied again."""
    off_site = settings.backups.off_site
    if off_site is None:
        return
    store = StoreModes.of(settings).object_store
    if off_site.bucket in store.bucket_names.values():
        yield (
            f"backups.offSite.bucket: {json.dumps(off_site.bucket)} is a bucket of this installation; "
            "use a bucket of another store"
        )
    service = f"langfuse-object-store.{settings.namespace}.svc"
    own_hosts = {settings.host, "langfuse-object-store", service, f"{service}.cluster.local"}
    host = off_site.endpoint.split("://")[1].partition(":")[0]
    if store.is_managed and host in own_hosts:
        yield (
            f"backups.offSite.endpoint: {json.dumps(off_site.endpoint)} is the object store of this installation, so "
            "the copies would be lost with it; use another store"
        )
