"""The configuration of one environment, validated whole before anything is registered.

This is the only reader of Pulumi configuration. A stack file states what differs from its profile
(`profiles.py`) and its scale (`scales.py`); the merged result is checked here and is plain, frozen values from then on.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import pulumi
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.schema.environment import PROJECT, STACK, Settings
from components.schema.redaction import HIDDEN, of_configuration, shown
from components.settings.checks import CHECKS
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES
from components.settings.warnings import warnings


class SettingsError(pulumi.RunError):
    """Everything that is wrong with a stack's configuration; Pulumi shows the message without a traceback."""


def load() -> Settings:
    """The running stack's settings. Warnings about them go to the engine's log.

    Raises:
        SettingsError: naming every bad key, its value, the rule and the fix.
    """
    config: dict[str, object] = {}
    secret: set[str] = set()
    for key, value in pulumi.runtime.config.CONFIG.get().items():
        namespace, _, name = key.partition(":")
        if namespace == PROJECT:
            config[name] = value
            if pulumi.runtime.config.is_config_secret(key):
                secret.add(name)
    settings = parse(pulumi.get_stack(), config, secret=secret)
    for warning in warnings(settings):
        pulumi.log.warn(f"{PROJECT}:{warning}")
    return settings


def parse(stack: str, config: Mapping[str, object], *, secret: set[str] | frozenset[str] = frozenset()) -> Settings:
    """Validate a stack's configuration over the defaults of its profile and scale.

    Args:
        stack: The stack's name; the profile's too unless `config` has one.
        config: Keys without the `langfuse:` prefix; values as in the stack file, or as the JSON text that Pulumi
            makes of them.
        secret: Keys whose values must not be shown.

    Raises:
        SettingsError: naming every bad key, its value, the rule and the fix.
    """
    given = {key: _decode(key, value) for key, value in config.items()}
    try:
        return _validated(stack, given, secret)
    except SettingsError as error:
        raise SettingsError(of_configuration(given, secret)(str(error))) from None


def _validated(stack: str, given: Mapping[str, object], secret: set[str] | frozenset[str]) -> Settings:
    profile = _choice("profile", given.get("profile", stack), PROFILES)
    scale = _choice("scale", given.get("scale", PROFILES[profile]["scale"]), SCALES)
    defaults = _merge(_merge(SCALES[scale], PROFILES[profile]), {"namespace": f"{PROJECT}-{stack}", "profile": profile})
    merged = _merge({key: _of_mode(key, value, given.get(key)) for key, value in defaults.items()}, given)
    try:
        settings = Settings.model_validate({**merged, STACK: stack})
    except ValidationError as error:
        raise _refusal(stack, [_explain(detail, secret) for detail in error.errors(include_url=False)]) from None
    problems = [f"{PROJECT}:{problem}" for check in CHECKS for problem in check(settings)]
    if problems:
        raise _refusal(stack, problems)
    return settings


def _refusal(stack: str, problems: list[str]) -> SettingsError:
    heading = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the configuration of stack {stack}:"
    return SettingsError("\n  ".join([heading, *problems]))


def _choice(key: str, value: object, known: Mapping[str, object]) -> str:
    if not isinstance(value, str) or value not in known:
        raise SettingsError(
            f"{PROJECT}:{key}: {json.dumps(value)} is not a {key}; choose one of {', '.join(known)}: "
            f"pulumi config set {PROJECT}:{key} {next(iter(known))}"
        )
    return value


def _decode(key: str, value: object) -> object:
    """Pulumi hands on maps, lists and booleans as JSON text; text itself stays as it is."""
    field = next((field for name, field in Settings.model_fields.items() if to_camel(name) == key), None)
    if field is None or not isinstance(value, str) or not _is_json(field):
        return value
    try:
        decoded: object = json.loads(value)
    except ValueError:
        return value
    return decoded


def _is_json(field: FieldInfo) -> bool:
    return (
        field.annotation is bool
        or get_origin(field.annotation) in {dict, list}
        or bool(list(_models(field.annotation)))
    )


def _alternatives(annotation: object) -> Iterator[object]:
    """What a value may be: the parts of a union, without what is annotated to them."""
    if get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that a value may be of: one, or one for each mode."""
    for part in _alternatives(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _of_mode(key: str, default: object, given: object) -> object:
    """Of a store's defaults those that the chosen mode has keys for."""
    if not isinstance(default, Mapping) or "mode" not in default:
        return default
    mode = given.get("mode", default["mode"]) if isinstance(given, Mapping) else default["mode"]
    field = next(field for name, field in Settings.model_fields.items() if to_camel(name) == key)
    keys = {
        to_camel(name)
        for model in _models(field.annotation)
        if mode in get_args(model.model_fields["mode"].annotation)
        for name in model.model_fields
    }
    return {name: value for name, value in default.items() if name in keys} | {"mode": mode}


def _merge(defaults: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    merged = dict(defaults)
    for key, value in given.items():
        default = merged.get(key)
        merged[key] = _merge(default, value) if isinstance(default, Mapping) and isinstance(value, Mapping) else value
    return merged


_RULES = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "string_type": 'must be text: put it in quotes, as in "50Gi"',
    "list_type": "must be a list",
    "dict_type": "must be a map of keys",
    "model_type": "must be a map of keys",
    "model_attributes_type": "must be a map of keys",
    "missing": "is required: set it in the stack file",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required: it decides which other keys there are",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _explain(detail: ErrorDetails, secret: set[str] | frozenset[str]) -> str:
    """One problem as `langfuse:key.path: value rule; fix`."""
    path = _path(detail)
    key = f"{PROJECT}:{'.'.join(path)}"
    if detail["type"] == "extra_forbidden":
        return f"{key}: is not a known key{_suggestion(detail['loc'])}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("value ")
    rule = _RULES.get(detail["type"], message.replace("{", "{{").replace("}", "}}")).format(**detail.get("ctx", {}))
    if detail["type"] in {"missing", "union_tag_not_found"}:
        return f"{key}: {rule}"
    given = detail["ctx"]["tag"] if detail["type"] == "union_tag_invalid" else detail["input"]
    return f"{key}: {HIDDEN if path[0] in secret else shown(path, given)} {rule}"


def _path(detail: ErrorDetails) -> list[str]:
    """Where the problem is, as the stack file names it: without the choice of a model among several."""
    path: list[str] = []
    annotation: object = Settings
    for part in detail["loc"]:
        if len(list(_models(annotation))) > 1:  # pydantic names the chosen model after the field
            annotation = _chosen(annotation, part)
            continue
        path.append(str(part))
        annotation = _inside(annotation, part)
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        path.append(detail["ctx"]["discriminator"].strip("'"))
    return path


def _suggestion(location: tuple[int | str, ...]) -> str:
    """The known key that was probably meant, and the others that stand beside it."""
    annotation: object = Settings
    for part in location[:-1]:
        several = len(list(_models(annotation))) > 1
        annotation = _chosen(annotation, part) if several else _inside(annotation, part)
    keys = [
        to_camel(name)
        for model in _models(annotation)
        for name, field in model.model_fields.items()
        if not field.exclude
    ]
    close = difflib.get_close_matches(str(location[-1]), keys, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; the keys here are {', '.join(dict.fromkeys(keys))}"


def _chosen(annotation: object, tag: object) -> object:
    """Of several models the one that a tag chooses: the one that has it as a literal value."""
    return next(
        (
            model
            for model in _models(annotation)
            if any(
                get_origin(field.annotation) is Literal and tag in get_args(field.annotation)
                for field in model.model_fields.values()
            )
        ),
        None,
    )


def _inside(annotation: object, part: object) -> object:
    """The type of a key of a model, or of an entry of a map or list; None where there is no model further in."""
    for inner in _alternatives(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return next(
                (field.annotation for name, field in inner.model_fields.items() if to_camel(name) == part), None
            )
        if get_origin(inner) in {dict, list}:
            return get_args(inner)[-1]
    return None
