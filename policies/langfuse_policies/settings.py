"""The typed configuration of rules."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of a rule's settings: every key has a default, and one that doesn't exist is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
