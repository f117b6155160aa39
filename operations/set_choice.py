"""Which set a restore takes."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from operations.backups import BackupSet
from operations.errors import OperationError

Json = Mapping[str, Any]


def _numbers(release: str) -> list[int]:
    """The numbers of a release. Web names a build between two releases like `4.83.0-rc.1`."""
    return [int(part) for part in re.split(r"[-+]", release)[0].split(".") if part.isdigit()]


def _fits(one: BackupSet, release: str | None, sets: Sequence[BackupSet]) -> bool:
    """Whether a release can run with a set, as far as manifests tell. Its migrations refuse a schema that is newer."""
    manifest = one.manifest or {}
    if release is None:
        return True
    known = manifest.get("langfuse")
    if known and _numbers(known) > _numbers(release):
        return False
    upgrades = (each.manifest for each in sets if each.manifest)
    return not _half_migrated(manifest) and not any(_migrated_since(manifest, upgrade, release) for upgrade in upgrades)


def _half_migrated(manifest: Json) -> bool:
    """Whether a migration was half applied when the set was made."""
    schema = manifest.get("postgres", {}).get("schema") or {}
    return bool(schema.get("unfinished")) or bool(_clickhouse(manifest).get("dirty"))


def _migrated_since(manifest: Json, before: Json, release: str) -> bool:
    """Whether a set has a schema of an upgrade to a newer release, before which another set was made.

    An upgrade that has failed, or goes on, may have migrated one database. Sets of that time state the former release.
    """
    to = before.get("to")
    if not to or _numbers(to) <= _numbers(release) or manifest["started"] <= before["started"]:
        return False
    return any(own > former for own, former in zip(_schema(manifest), _schema(before), strict=True))


def _schema(manifest: Json) -> tuple[int, int]:
    """How many migrations of Postgres are applied, and the number of the last one of ClickHouse."""
    applied = (manifest.get("postgres", {}).get("schema") or {}).get("applied") or 0
    return int(applied), int(_clickhouse(manifest).get("version") or 0)


def _clickhouse(manifest: Json) -> Json:
    found: Json = (manifest.get("clickhouse") or {}).get("schema") or {}
    return found


def choose(sets: Sequence[BackupSet], *, set_id: str | None, at: str | None, release: str | None = None) -> BackupSet:
    """The set that a person means: by its id, the newest one at a time, or the newest one.

    Args:
        sets: Sets, the newest first.
        set_id: Id of a set.
        at: A time in ISO 8601.
        release: The release of Langfuse that the set has to fit, unless it is chosen by its id. None: any.

    Raises:
        OperationError: There is no such set, or it can't be restored.
    """
    if set_id is not None and at is not None:
        raise OperationError("pass --set or --at, not both")
    if not any(one.manifest for one in sets):
        raise OperationError("there is no complete set; `python -m operations backup now` takes one")
    if set_id is not None:
        found = [one for one in sets if one.id == set_id]
        if not found:
            raise OperationError(f"there is no set {set_id}; the newest ones are {_ids(sets)}")
        if found[0].lacks:
            raise OperationError(f"set {set_id} can't be restored: {found[0].lacks}")
        return found[0]
    latest = moment(at) if at else datetime.max.replace(tzinfo=UTC)
    complete = (one for one in sets if one.manifest and not one.lacks and _fits(one, release, sets))
    usable = [one for one in complete if one.manifest and moment(one.manifest["started"]) <= latest]
    if not usable:
        raise OperationError(
            f"no set {f'was begun before {at} and ' if at else ''}can be restored"
            f"{f' with Langfuse {release}' if release else ''}; the sets are {_ids(sets)}"
        )
    return usable[0]


def moment(text: str) -> datetime:
    """A time in ISO 8601; one without a zone is in UTC.

    Raises:
        OperationError: The text is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise OperationError(f"{text!r} is not a time; write it like 2026-11-26T08:30:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ids(sets: Sequence[BackupSet]) -> str:
    return ", ".join(one.id for one in sets[:5])
