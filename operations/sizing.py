"""Which scale has what a load needs, and what to set where none has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from components.schema.environment import Settings
from components.settings.load import SettingsError, parse
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES, Load
from operations.needs import EVENT_BYTES, Need, needs


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The answer."""

    scale: str
    settings: Settings
    """An environment of that profile and scale, with what is `explicit`."""
    needs: Sequence[Need]
    explicit: Mapping[str, object]
    """What a stack file must set beside the scale: nothing unless the load is more than the largest scale's."""


class SizingError(ValueError):
    """No single installation carries the load."""


def size(load: Load, *, profile: str, event_bytes: int = EVENT_BYTES) -> Sizing:
    """The smallest scale that has what the load needs, not below the profile's own.

    Raises:
        SizingError: where even explicit numbers would not be accepted.
    """
    names = list(SCALES)
    for scale in names[names.index(str(PROFILES[profile]["scale"])) :]:
        settings = environment(profile, scale)
        found = needs(load, settings, event_bytes)
        if all(need.fits for need in found):
            return Sizing(scale=scale, settings=settings, needs=found, explicit={})
    explicit = _explicit(found)
    try:
        settings = environment(profile, scale, explicit)
    except SettingsError as error:
        problems = "\n  ".join(str(error).splitlines()[1:])
        raise SizingError(f"no single installation carries that: divide it by project\n  {problems}") from None
    return Sizing(scale=scale, settings=settings, needs=found, explicit=explicit)


def environment(profile: str, scale: str, given: Mapping[str, object] | None = None) -> Settings:
    """The settings of an environment that states nothing but its profile, its scale and what is given."""
    return parse("sizing", {"host": "langfuse.example.com", **(given or {}), "profile": profile, "scale": scale})


def _explicit(found: Sequence[Need]) -> Mapping[str, object]:
    """The keys that must be raised, as they stand in a stack file."""
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
