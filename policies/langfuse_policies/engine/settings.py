"""The typed configuration of policies.

    class Replicas(Settings):
        least: Annotated[int, Meta(gt=0, description="Replicas of a stateless server.")] = 2

msgspec is imported in a tenth of the time that pydantic takes, and every preview waits for the packs to start.
"""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

SettingsError = msgspec.ValidationError
"""A setting has a wrong name, type or value: the message contains its path and the requirement."""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Base class of a policy's settings: every key has a default, and unknown keys are errors."""

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Self:
        """Reads the settings from the configuration of a policy.

        Raises:
            SettingsError: The configuration is invalid.
        """
        return msgspec.convert(config, cls, strict=False, str_keys=True)  # numbers arrive as floats, keys as text

    @classmethod
    def schema(cls) -> dict[str, dict[str, Any]]:
        """The JSON schema of each key, with its default."""
        keys = msgspec.json.schema(cls)["$defs"][cls.__name__]["properties"]
        defaults = msgspec.to_builtins(cls(), str_keys=True)
        return {key: {**schema, "default": defaults[key]} for key, schema in keys.items()}
