"""Runs the check of the stores as the migration Job does, against servers on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.application.store_checks import SCRIPTS
from sandbox.folder import CHECKOUT
from sandbox.images import probe_application
from tests.servers import program

FOLDER = CHECKOUT / "components/application/scripts"
LIMIT_SECONDS = 90
NODE = program("node", package="nodejs")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a run."""

    code: int
    lines: Sequence[Mapping[str, str]]
    output: str
    """Everything that it printed."""

    def of(self, store: str, outcome: str = "failed") -> list[str]:
        """Each line of a store with this outcome: its check, detail and fix."""
        return [
            f"{line['check']}: {line['detail']}; {line.get('fix', '')}"
            for line in self.lines
            if (line["store"], line["outcome"]) == (store, outcome)
        ]


def check_stores(variables: Mapping[str, str], *stores: str, **replaced: str) -> Checked:
    """Run the check with these variables, of some stores or of all."""
    given = {**variables, "WAIT_SECONDS": "0", "REPORT": "json", "CHECKED_STORES": ",".join(stores), **replaced}
    given |= {"PATH": os.environ["PATH"], "NODE_PATH": str(probe_application.node_modules())}
    done = subprocess.run(
        [NODE, FOLDER / SCRIPTS[0]], env=given, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return Checked(code=done.returncode, lines=lines, output=done.stdout + done.stderr)
