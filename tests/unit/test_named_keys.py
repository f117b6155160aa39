"""Every configuration key that a message, a script, a docstring or a page names exists in some mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from components.schema.environment import Settings
from components.settings.annotations import keys, models

ROOT = Path(__file__).resolve().parents[2]
CODE = ("components", "operations")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP = {to_camel(name) for name in Settings.model_fields}

NAMED = re.compile(r"langfuse:(?!index\b)(?P<path>[a-z][A-Za-z]*+(?:\.[A-Za-z]\w*+)*+)(?![${*])")
"""A key with its project, as in `langfuse:redis.host`."""
BARE = re.compile(rf"(?<![\w./:@$%-])(?P<path>(?:{'|'.join(sorted(TOP))})(?:\.[a-z]\w*)+)(?![\w/(-])")
"""A key without it, as in `redis.host`, in texts that know no other names with dots."""
FILES = re.compile(r".*\.(ts|js|mjs|cjs|py|sh|json|xml|yaml|yml|md|conf|pem|com|org|io|svc|go|example)(\..*)?")

EXAMPLES = {
    "cluster.local": "a domain",
    "monitoring.coreos": "the API group of the Prometheus Operator",
    "web.replcas": "a spelling mistake",
    "key.path": "stands for any key",
    "network.dns": "of an earlier version: the message says where it is now",
    **{f"ingestion.{key}": "of an earlier version" for key in ("writeMode", "otelBehaviour", "previewOptIn")},
    "ingestion.historicBackfill": "of an earlier version",
}


def exists(path: str) -> bool:
    """Whether a stack file can have the key in some mode."""
    found: list[type[BaseModel]] = [Settings]
    parts = path.split(".")
    for part in parts:
        fields = [(model, key) for model in found for key in keys(model) if key == part]
        if not fields:
            # Below a map, such as `extraEnv`, every name is possible.
            return found == [] and part != parts[0]
        found = [
            inner
            for model, key in fields
            for name, field in model.model_fields.items()
            if to_camel(name) == key
            for inner in models(field.annotation)
        ]
    return True


def code_texts() -> Iterator[tuple[Path, str]]:
    """The texts of the code: literals of Python, with `*` where a value is inserted, and whole scripts."""
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix == ".py":
                for node in ast.walk(ast.parse(file.read_text())):
                    if isinstance(node, ast.JoinedStr):
                        parts = (one.value if isinstance(one, ast.Constant) else "*" for one in node.values)
                        yield file, "".join(map(str, parts))
                    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield file, node.value
            elif file.suffix in {".js", ".cjs", ".sh", ".conf"}:
                yield file, file.read_text()


def named() -> Iterator[tuple[str, str]]:
    """Each named key, and the file that names it. Keys whose names are computed are not known."""
    for file, text in code_texts():
        found = [*NAMED.finditer(text), *(BARE.finditer(text) if file.suffix == ".py" else ())]
        yield from ((match["path"], str(file.relative_to(ROOT))) for match in found)
    for page in PAGES:
        yield from ((match["path"], str(page.relative_to(ROOT))) for match in NAMED.finditer(page.read_text()))


def test_every_named_key_exists() -> None:
    found = {(path, file) for path, file in named() if path not in EXAMPLES and not FILES.fullmatch(path)}
    assert len(found) > 200
    assert {(path, file) for path, file in found if not exists(path)} == set()


def test_a_key_that_does_not_exist_is_noticed() -> None:
    assert exists("redis.masterName")
    assert exists("extraEnv.ANY_NAME")
    assert not exists("redis.sentinelPassword")
    assert not exists("sentinel")
    assert [
        match["path"] for match in BARE.finditer("set redis.host and web.resources.memory, not web/src/env.mjs")
    ] == [
        "redis.host",
        "web.resources.memory",
    ]
