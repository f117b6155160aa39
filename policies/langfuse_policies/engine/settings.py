"""The typed configuration of policies.

    class Replicas(Settings):
        least: Annotated[int, Meta(gt=0, description="Replicas of a stateless server.")] = 2

msgspec is imported in a tenth of the time that pydantic takes, and every preview waits for the packs to start.
"""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

SettingsError = msgspec.ValidationError
"""A setting has the wrong name, type or value: the message names its path and the policy."""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Base of a policy's settings: every key has a default, and one that doesn't exist is an error."""

    @classmethod
    def read(cls, config: Mapping[str, object]) -> Self:
        """The settings that the configuration of a policy gives.

        Raises:
            SettingsError: It can't be used.
        """
        return msgspec.convert(config, cls, strict=False, str_keys=True)  # numbers arrive as floats, keys as text

    @classmethod
    def schema(cls) -> dict[str, dict[str, Any]]:
        """The JSON schema of each key, with its default."""
        keys = msgspec.json.schema(cls)["$defs"][cls.__name__]["properties"]
        defaults = msgspec.to_builtins(cls(), str_keys=True)
        return {key: {**schema, "default": defaults[key]} for key, schema in keys.items()}
