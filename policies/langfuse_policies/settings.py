"""The typed configuration of rules."""

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

__all__ = ["Setting", "Settings"]


class Settings(BaseModel):
    """Base of a rule's settings: every key has a default, and one that doesn't exist is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
