"""The whole program under the recorder."""

import json
from collections.abc import Mapping
from functools import cache

from components.langfuse import Langfuse
from components.settings.load import load
from tests.unit.recorder import Recording, record


def recorded(stack: str = "dev", config: Mapping[str, object] | None = None) -> Recording:
    """The same as `run`, run only once for each configuration: for those who only look."""
    return _recorded(stack, json.dumps(config or {}))


@cache
def _recorded(stack: str, config: str) -> Recording:
    return run(stack, json.loads(config))


def run(stack: str, config: Mapping[str, object]) -> Recording:
    """What a stack registers.

    Args:
        stack: Its name.
        config: Its configuration without the prefix; a host is filled in.
    """
    given = {"host": f"{stack}.example.com", **config}
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    return record(lambda: Langfuse("langfuse", load()), stack=stack, config=text)
