"""Reads and validates the configuration of one environment, before anything is registered.

This is the only reader of Pulumi's configuration. A stack file sets what differs from its profile (`profiles.py`) and
its scale (`scales.py`). The result is a frozen object of plain values.
"""

import json
from collections.abc import Collection, Mapping
from typing import get_origin

import pulumi
from pydantic import ValidationError

from components.schema.environment import PROJECT, STACK, Settings
from components.schema.redaction import of_configuration
from components.settings import image_lock, validation_errors
from components.settings.annotations import field, models
from components.settings.checks import CHECKS
from components.settings.clusters import with_cpu_for_memory
from components.settings.defaults import UnknownChoiceError, with_defaults
from components.settings.documents import DocumentError
from components.settings.warnings import warnings


class SettingsError(pulumi.RunError):
    """All errors in a stack's configuration. Pulumi shows the message without a traceback."""


def load() -> Settings:
    """The settings of the running stack. Logs warnings about them to the engine.

    Raises:
        SettingsError: With the key, the value, the rule and the fix of every error.
    """
    config: dict[str, object] = {}
    secret: set[str] = set()
    for key, value in pulumi.runtime.config.CONFIG.get().items():
        namespace, _, name = key.partition(":")
        if namespace == PROJECT:
            config[name] = value
            if pulumi.runtime.config.is_config_secret(key):
                secret.add(name)
    try:
        lock = image_lock.read()
    except DocumentError as error:
        raise SettingsError(str(error)) from None
    settings = parse(pulumi.get_stack(), config, secret=secret, lock=lock)
    for warning in warnings(settings):
        pulumi.log.warn(f"{PROJECT}:{warning}")
    return settings


def parse(
    stack: str,
    config: Mapping[str, object],
    *,
    secret: Collection[str] = frozenset(),
    lock: Mapping[str, str] | None = None,
) -> Settings:
    """Validate a stack's configuration over the defaults of its profile and scale.

    Args:
        stack: The stack's name. It is also the name of the profile unless `config` sets one.
        config: Keys without the `langfuse:` prefix. Values are those of the stack file, or the JSON text that Pulumi
            turns them into.
        secret: Keys whose values must not be shown.
        lock: Digests of images, by name and tag.

    Raises:
        SettingsError: With the key, the value, the rule and the fix of every error.
    """
    decoded = {key: _decode(key, value) for key, value in config.items()}
    try:
        return _validate(stack, decoded, secret, lock or {})
    except (SettingsError, UnknownChoiceError) as error:
        raise SettingsError(of_configuration(decoded, secret)(str(error))) from None


def _validate(stack: str, config: Mapping[str, object], secret: Collection[str], lock: Mapping[str, str]) -> Settings:
    values = with_defaults(stack, config)
    try:
        settings = with_cpu_for_memory(Settings.model_validate({**values, STACK: stack}))
        settings = image_lock.with_digests(settings, lock)
    except ValidationError as error:
        raise _settings_error(stack, validation_errors.messages(error, secret)) from None
    errors = [f"{PROJECT}:{message}" for check in CHECKS for message in check(settings)]
    if errors:
        raise _settings_error(stack, errors)
    return settings


def _settings_error(stack: str, errors: list[str]) -> SettingsError:
    heading = f"{len(errors)} problem{'s' if len(errors) > 1 else ''} in the configuration of stack {stack}:"
    return SettingsError("\n  ".join([heading, *errors]))


def _decode(key: str, value: object) -> object:
    """Decode a value that Pulumi passes as JSON text: maps, lists and booleans. Text stays unchanged."""
    known = field(Settings, key)
    if known is None or not isinstance(value, str) or not _is_json(known.annotation):
        return value
    try:
        decoded: object = json.loads(value)
    except ValueError:
        return value
    return decoded


def _is_json(annotation: object) -> bool:
    return annotation is bool or get_origin(annotation) in {dict, list} or any(models(annotation))
