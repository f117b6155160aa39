"""Configurations as tests need them: parsed, or refused with an error."""

from collections.abc import Mapping

import pytest

from components.schema.environment import Settings
from components.settings.load import SettingsError, parse

HOST = "langfuse.example.com"


def settings(config: Mapping[str, object] | None = None, stack: str = "dev", **more: object) -> Settings:
    """The settings of a stack; a host is filled in."""
    return parse(stack, {"host": HOST, **(config or {}), **more})


def refusal(config: Mapping[str, object], stack: str = "dev") -> str:
    """The error of a configuration that is refused."""
    with pytest.raises(SettingsError) as raised:
        settings(config, stack)
    return str(raised.value)


def only_problem(config: Mapping[str, object], stack: str = "dev") -> str:
    """The error of a configuration that has one problem and no other."""
    error = refusal(config, stack)
    assert error.startswith("1 problem "), error
    return error
