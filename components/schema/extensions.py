"""The way out: variables of the application and fields of objects that have no key of their own."""

from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue

from components.schema.base import Model
from components.schema.values import SecretKey, SecretName


class Variable(Model):
    """An environment variable of the application: a text, or a key of a Secret in the stack's namespace."""

    value: str | None = Field(default=None, description="Its value.")
    secret: SecretName | None = Field(default=None, description="The Secret that holds it, with `key`.")
    key: SecretKey | None = Field(default=None, description="Key of the Secret.")
    insist: bool = Field(
        default=False, description="Set it although Langfuse isn't known to read it, or the stack sets it itself."
    )


def _from_text(given: object) -> object:
    if isinstance(given, (bool, int, float)):
        raise ValueError('must be text: put it in quotes, as in "50"')  # noqa: TRY004  # pydantic reports only these
    return {"value": given} if isinstance(given, str) else given


ExtraVariable = Annotated[Variable, BeforeValidator(_from_text)]


class Patch(Model):
    """A change of an object of the stack, as a strategic merge: maps are merged, null removes a key.

    Lists of containers, variables, volumes, mounts and ports are merged by name or path; others are replaced. Fields
    that the kind does not have are refused. Those of custom resources only the cluster knows, which drops unknown ones
    when it creates an object.
    """

    kind: str = Field(min_length=1, description="Kind of the object, as `Deployment`.")
    name: str = Field(
        min_length=1, description="Its name. Where it ends in a hash of the content, the name without the hash."
    )
    patch: dict[str, JsonValue] = Field(min_length=1, description="What to merge into it.")
