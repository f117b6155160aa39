"""All policies. A file in `rules/kubernetes` or `rules/langfuse` needs no entry here: each is imported by its place."""

from importlib import import_module
from pkgutil import iter_modules

from langfuse_policies.engine.policy import Topic, by_id
from langfuse_policies.rules import kubernetes, langfuse

TOPICS: list[Topic] = [
    import_module(f"{package.__name__}.{module.name}").topic
    for package in (kubernetes, langfuse)
    for module in iter_modules(package.__path__)
]
"""The topics of each folder by file name, which is their order in docs/policies.md."""

POLICIES = by_id(TOPICS)
"""The policies by their ids."""
