"""Extensions: environment variables and fields of objects for which there is no configuration key."""

from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue

from components.schema.base import Model
from components.schema.values import SecretKey, SecretName


class Variable(Model):
    """An environment variable of Langfuse: a text, or a key of a Secret in the stack's namespace."""

    value: str | None = Field(default=None, description="The value.")
    secret: SecretName | None = Field(default=None, description="The Secret that contains the value. Requires `key`.")
    key: SecretKey | None = Field(default=None, description="Key in the Secret.")
    insist: bool = Field(
        default=False, description="Set the variable even if Langfuse is not known to read it, or if the stack sets it."
    )


def _from_text(given: object) -> object:
    if isinstance(given, (bool, int, float)):
        raise ValueError('must be text: put it in quotes, as in "50"')  # noqa: TRY004  # pydantic reports only these
    return {"value": given} if isinstance(given, str) else given


ExtraVariable = Annotated[Variable, BeforeValidator(_from_text)]


class Patch(Model):
    """A change to an object of the stack, as a strategic merge patch: maps are merged, null removes a key.

    Lists of containers, variables, volumes, mounts and ports are merged by name or path; other lists are replaced.
    Fields that the kind does not have are refused. Fields of custom resources cannot be checked in advance: the cluster
    drops unknown fields when it creates an object.
    """

    kind: str = Field(min_length=1, description="Kind of the object, for example `Deployment`.")
    name: str = Field(
        min_length=1, description="Name of the object. If the name ends with a hash of the content, leave out the hash."
    )
    patch: dict[str, JsonValue] = Field(min_length=1, description="What to merge into it.")
