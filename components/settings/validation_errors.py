"""Turns pydantic's validation errors into messages of the form `langfuse:key.path: value rule; fix`."""

import difflib
from collections.abc import Collection, Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.schema.environment import PROJECT, Settings
from components.schema.redaction import HIDDEN, shown
from components.settings.annotations import keys, models, step

MESSAGES: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "string_type": 'must be text: put it in quotes, as in "50Gi"',
    "list_type": "must be a list",
    "dict_type": "must be a map of keys",
    "model_type": "must be a map of keys",
    "model_attributes_type": "must be a map of keys",
    "missing": "is required: set it in the stack file",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required: it decides which other keys exist",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
"""By type of a pydantic error. Other types keep pydantic's own message."""

KEY_OF_A_MAP: Final = "[key]"
"""What pydantic adds to the location of a key that it refuses."""

MOVED: Final[Mapping[str, str]] = {
    "network.dns": "cluster.dns",
    "ingestion.writeMode": "ingestion.phase",
    "ingestion.otelBehaviour": "ingestion.phase",
    "ingestion.previewOptIn": "ingestion.phase",
    "ingestion.historicBackfill": "ingestion.phase",
}
"""Keys of earlier versions, and their present places."""


def messages(error: ValidationError, secret: Collection[str]) -> list[str]:
    """A message for each error. The values of secret keys are hidden.

    Args:
        error: What pydantic found.
        secret: Top-level keys that Pulumi keeps encrypted.
    """
    return [_message(detail, secret) for detail in error.errors(include_url=False)]


def _message(detail: ErrorDetails, secret: Collection[str]) -> str:
    path = _path(detail)
    key = f"{PROJECT}:{'.'.join(path)}"
    if new := MOVED.get(".".join(path)):
        return f"{key}: is now {PROJECT}:{new}; move it there"
    if detail["type"] == "extra_forbidden":
        return f"{key}: is not a known key{_suggestion(detail['loc'])}"
    own = detail["msg"].removeprefix("Value error, ").removeprefix("value ")
    rule = MESSAGES.get(detail["type"], own.replace("{", "{{").replace("}", "}}")).format(**detail.get("ctx", {}))
    if detail["type"] in {"missing", "union_tag_not_found"}:
        return f"{key}: {rule}"
    value = detail["ctx"]["tag"] if detail["type"] == "union_tag_invalid" else detail["input"]
    return f"{key}: {HIDDEN if path[0] in secret else shown(path, value)} {rule}"


def _path(detail: ErrorDetails) -> list[str]:
    """The path of the key in the stack file."""
    path: list[str] = []
    annotation: object = Settings
    for part in detail["loc"]:
        annotation, in_file = step(annotation, part)
        if in_file and part != KEY_OF_A_MAP:
            path.append(str(part))
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        path.append(detail["ctx"]["discriminator"].strip("'"))
    return path


def _suggestion(location: tuple[int | str, ...]) -> str:
    """The known key that is closest to an unknown one, or all known keys."""
    annotation: object = Settings
    for part in location[:-1]:
        annotation, _ = step(annotation, part)
    known = [key for model in models(annotation) for key in keys(model)]
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; the keys here are {', '.join(dict.fromkeys(known))}"
