"""The client of our Keeper: a small tree of paths, for what a server writes to ClickHouse Keeper.

The protocol is not ZooKeeper's. A request is a JSON object on one line, and so is the answer:

- `{"operation": "list"}` -> `{"nodes": {path: value}}`
- `{"operation": "put", "path": path, "value": value}` -> `{}`
- `{"operation": "remove", "path": path}` -> `{}`

An answer `{"error": text}` refuses the request. Keepers do not talk to each other about nodes. A client writes to all
of them and needs a majority. It reads from a majority, and takes the newest version of each node.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

from sandbox.images.clickhouse.programs.configuration import Address
from sandbox.images.clickhouse.programs.errors import keeper_unavailable

TIMEOUT_SECONDS = 3.0

Json = dict[str, Any]


class Coordination:
    """The nodes in the Keepers."""

    def __init__(self, keepers: Sequence[Address]) -> None:
        """`keepers` are all of them. Each method raises `StatementError` if no majority answers."""
        self._keepers = keepers

    def nodes(self) -> dict[str, str]:
        """All nodes: their values by their paths."""
        newest: dict[str, tuple[int, str | None]] = {}
        for answer in self._ask({"operation": "list"}):
            for path, (version, value) in answer["nodes"].items():
                if path not in newest or version > newest[path][0]:
                    newest[path] = (version, value)
        return {path: value for path, (_, value) in newest.items() if value is not None}

    def put(self, path: str, value: str) -> None:
        """Create a node or change its value."""
        self._ask({"operation": "put", "path": path, "value": value})

    def remove(self, path: str) -> None:
        """Remove a node."""
        self._ask({"operation": "remove", "path": path})

    def reachable(self) -> bool:
        """Whether a majority answers."""
        return len(self._answers({"operation": "list"})[0]) * 2 > len(self._keepers)

    def _ask(self, request: Json) -> list[Json]:
        answers, problem = self._answers(request)
        if len(answers) * 2 <= len(self._keepers):
            raise keeper_unavailable(problem)
        return answers

    def _answers(self, request: Json) -> tuple[list[Json], str]:
        answers, problem = [], "none is configured"
        for keeper in self._keepers:
            try:
                answers.append(_request(keeper, request))
            except (OSError, ValueError) as error:
                problem = f"{keeper.host}:{keeper.port}: {error}"
        return answers, problem


def _request(keeper: Address, request: Json) -> Json:
    with socket.create_connection((keeper.host, keeper.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as file:
            line = file.readline()
    answer: Json = json.loads(line or b'{"error": "the connection was closed"}')
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def children(nodes: Sequence[str], path: str) -> dict[str, int]:
    """The names of the children of a path, and how many children each has."""
    prefix = "" if path == "/" else path
    found: dict[str, set[str]] = {}
    for node in nodes:
        if node.startswith(f"{prefix}/"):
            name, _, rest = node.removeprefix(f"{prefix}/").partition("/")
            found.setdefault(name, set()).update({rest.split("/")[0]} - {""})
    return {name: len(below) for name, below in found.items()}
