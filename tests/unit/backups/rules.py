"""Calls the functions of a script with rules, in one process of Node for all examples of a test."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.backups.steps import SCRIPTS
from tests.servers import program

_SERVE = """
const rules = require(process.argv[1]);
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, ...given] = JSON.parse(line);
  console.log(JSON.stringify(rules[name](...given) ?? null));
});
"""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The exported functions."""

    process: "subprocess.Popen[str]"

    def call(self, name: str, *given: object) -> Any:  # noqa: ANN401  # JSON
        """The result of a function; None for undefined."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps([name, *given])}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def rules(script: Path = SCRIPTS / "sets.js") -> Iterator[Rules]:
    """The functions, until the end of the block."""
    command = [str(program("node", package="nodejs")), "-e", _SERVE, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Rules(process=process)
        assert process.stdin
        process.stdin.close()
