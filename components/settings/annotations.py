"""Walks the type annotations of the models, to find the model and the key that a path in a stack file refers to."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo


def alternatives(annotation: object) -> Iterator[object]:
    """The members of a union, without their `Annotated` metadata. A type that is no union is its only member."""
    if get_origin(annotation) in {Union, UnionType}:
        for member in get_args(annotation):
            yield from alternatives(member)
    elif get_origin(annotation) is Annotated:
        yield from alternatives(get_args(annotation)[0])
    else:
        yield annotation


def models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that a value can have: none, one, or one for each mode of a store."""
    for member in alternatives(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            yield member


def field(model: type[BaseModel], key: object) -> FieldInfo | None:
    """The field of a model for a key of a stack file, which is in camel case."""
    return next((found for name, found in model.model_fields.items() if to_camel(name) == key), None)


def keys(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a model, as a stack file writes them."""
    for name, found in model.model_fields.items():
        if not found.exclude:
            yield to_camel(name)


def step(annotation: object, part: object) -> tuple[object, bool]:
    """Follow one part of the location of a validation error.

    Where several models are possible, pydantic adds the tag of the chosen model to the location.

    Returns:
        The annotation at that part, and whether the part is also in the stack file: a tag is not.
    """
    candidates = list(models(annotation))
    if len(candidates) > 1:
        return next((model for model in candidates if part in _tags(model)), None), False
    return _member(annotation, part), True


def _tags(model: type[BaseModel]) -> Iterator[object]:
    """The values of the literal fields of a model. One of them tells it apart from other models."""
    for found in model.model_fields.values():
        if get_origin(found.annotation) is Literal:
            yield from get_args(found.annotation)


def _member(annotation: object, key: object) -> object:
    """The annotation of a key of a model, or of an item of a map or list; None for other types."""
    for member in alternatives(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            found = field(member, key)
            return found.annotation if found else None
        if get_origin(member) in {dict, list}:
            return get_args(member)[-1]
    return None
