"""Reads files that users edit. An error has the file and the line.

No error contains a value: a stack file may contain credentials.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

EXAMPLE: Final = ", as in `langfuse:host: langfuse.example.com`"


class DocumentError(Exception):
    """An error in a file, with its line and the fix. It is shown without a traceback."""


@dataclass(frozen=True)
class Document:
    """The content of a file, and the line of each part."""

    file: Path
    content: object = field(repr=False)
    _node: yaml.Node | None = field(default=None, repr=False)

    def line(self, *path: str | int) -> int:
        """The line of the key or item at a path, or of the last part of the path that exists."""
        line, node = 1, self._node
        for part in path:
            found = _inside(node, part)
            if found is None:
                break
            line, node = found
        return line

    def error(self, problem: str, *path: str | int) -> DocumentError:
        """An error about the part of the file at a path."""
        return DocumentError(f"{self.file}, line {self.line(*path)}: {problem}")


def read(file: Path) -> Document:
    """Read a YAML file, or a JSON file if its name ends in `.json`.

    Raises:
        DocumentError: The file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DocumentError(f"{file}: is not text in UTF-8; save it in that encoding") from None
    except OSError as error:
        raise DocumentError(f"{file}: cannot be read: {error.strerror}") from None
    return _json(file, text) if file.suffix == ".json" else parse(file, text)


def read_mapping(file: Path) -> tuple[Document, Mapping[str, object]]:
    """Read a file that must be a map of keys. An empty file has no keys.

    Raises:
        DocumentError: The file cannot be read, or is not a map.
    """
    document = read(file)
    return document, _mapping(document, document.content, "the file")


def read_stack(file: Path) -> Mapping[str, object]:
    """Read the configuration in a stack file: the map under `config`, by key.

    Raises:
        DocumentError: The file cannot be read, or its `config` is not a map.
    """
    document, content = read_mapping(file)
    return _mapping(document, content.get("config"), "`config`", "config", example=EXAMPLE)


def _mapping(document: Document, value: object, what: str, *path: str, example: str = "") -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise document.error(f"{what} must be a map of keys{example}", *path)
    for key in value:
        if not isinstance(key, str):
            raise document.error(f"{what} has a key that is not text; put it in quotes", *path)
    return value


def _json(file: Path, text: str) -> Document:
    try:
        return Document(file, json.loads(text))
    except json.JSONDecodeError as error:
        raise DocumentError(f"{file}, line {error.lineno}: is not JSON: {error.msg}; correct it") from None


def parse(file: Path, text: str) -> Document:
    """Parse YAML. `file` is the name in errors.

    Raises:
        DocumentError: It is not YAML.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DocumentError(f"{file}, line {line}: is not YAML: {_problem(error)}; correct it") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise DocumentError(f"{file}, line {line}: is not YAML: it contains a control character; remove it") from None
    except ValueError:  # for example a date on the 40th of a month
        raise DocumentError(
            f"{file}: contains an impossible value, for example a date that does not exist; correct it"
        ) from None
    return Document(file, content, node)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """The parser's message. Quoted text is hidden, except single characters and the parser's own names."""
    message = error.problem or "it cannot be parsed"
    if message.startswith("but "):
        message = f"{error.context}, {message}"
    return re.sub(r"'(?!<[\w ]+>'|\\?.')[^']*'", "'...'", message)


def _inside(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return value.start_mark.line + 1, value
    return None
