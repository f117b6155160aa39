"""Runs the whole program under the recorder."""

import json
from collections.abc import Mapping
from functools import cache

from components.langfuse import Langfuse
from components.settings.load import load
from tests.unit.recorder import Recording, record


def recorded(stack: str = "dev", config: Mapping[str, object] | None = None) -> Recording:
    """A recording that is shared by all tests of a configuration. Tests must not change it."""
    return _recorded(stack, json.dumps(config or {}))


@cache
def _recorded(stack: str, config: str) -> Recording:
    return run(stack, json.loads(config))


def run(stack: str, config: Mapping[str, object]) -> Recording:
    """Records what a stack registers.

    Args:
        stack: Name of the stack.
        config: Configuration without the prefix `langfuse:`; a host is filled in.
    """
    given = {"host": f"{stack}.example.com", **config}
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    return record(lambda: Langfuse("langfuse", load()), stack=stack, config=text)
