"""Finds the scale for a load, and the keys to set if the load is larger than every scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from components.schema.environment import Settings
from components.settings.load import SettingsError, parse
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES, Load
from operations.errors import OperationError
from operations.needs import EVENT_BYTES, ClickHouseBackups, Need, needs


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The scale for a load."""

    scale: str
    settings: Settings
    """The settings of an environment of that profile and scale, with the explicit keys."""
    needs: Sequence[Need]
    backups: ClickHouseBackups
    explicit: Mapping[str, object]
    """Keys to set in addition to the scale. Empty unless the load is larger than the largest scale."""


def size(load: Load, *, profile: str, event_bytes: int = EVENT_BYTES) -> Sizing:
    """The smallest scale that meets the needs of the load, at least that of the profile.

    Raises:
        OperationError: No single installation carries the load.
    """
    names = list(SCALES)
    for scale in names[names.index(str(PROFILES[profile]["scale"])) :]:
        settings = environment(profile, scale)
        found = needs(load, settings, event_bytes)
        if all(need.fits for need in found):
            backups = ClickHouseBackups.of(load, settings, event_bytes)
            return Sizing(scale=scale, settings=settings, needs=found, backups=backups, explicit={})
    explicit = _explicit(found)
    try:
        settings = environment(profile, scale, explicit)
    except SettingsError as error:
        problems = "\n  ".join(str(error).splitlines()[1:])
        raise OperationError(f"no single installation carries this load; divide it by project\n  {problems}") from None
    backups = ClickHouseBackups.of(load, settings, event_bytes)
    return Sizing(scale=scale, settings=settings, needs=found, backups=backups, explicit=explicit)


def environment(profile: str, scale: str, given: Mapping[str, object] | None = None) -> Settings:
    """The settings of an environment that sets only its profile, its scale and the given keys."""
    return parse("sizing", {"host": "langfuse.example.com", **(given or {}), "profile": profile, "scale": scale})


def _explicit(found: Sequence[Need]) -> Mapping[str, object]:
    """The keys to raise, nested as in a stack file."""
    tree: dict[str, object] = {}
    for need in found:
        if need.fits:
            continue
        for key, value in {need.key: need.least, **need.also}.items():
            *path, last = key.split(".")
            node = tree
            for part in path:
                node = cast("dict[str, object]", node.setdefault(part, {}))
            node[last] = value
    return tree
