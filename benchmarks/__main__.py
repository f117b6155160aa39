"""`python -m benchmarks`: measures deployments side by side, and tells which aims are met."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.ground import temporary_ground
from benchmarks.report import Setting, as_json, show
from benchmarks.rounds import Rounds
from sandbox import manifests, services, toolchain
from sandbox.controlplane import CLI_TOOLS
from sandbox.errors import SandboxError

INTERRUPTED = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count, after one that warms up.")] = 3,
    file: Annotated[Path | None, typer.Option("--json", help="Write every sample to this file.")] = None,
) -> None:
    """Compare deployments of the dev stack with an empty program, a bare program and kubectl, in one run.

    About three minutes per round on two cores. The exit code tells whether it could measure, not whether aims are met.
    """
    try:
        _bench(rounds, file)
    except (BenchmarkError, SandboxError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # here, because Typer would end without a word
        typer.echo("interrupted; the sandbox and everything in it is gone", err=True)
        sys.exit(INTERRUPTED)


def _bench(rounds: int, file: Path | None) -> None:
    if file and not file.parent.is_dir():
        raise BenchmarkError(f"--json {file}: there is no folder {file.parent}")
    load = os.getloadavg()[0]
    names = (*services.TOOLS, *CLI_TOOLS)
    toolchain.ensure(names)  # building is not measured
    manifests.ensure()
    with temporary_ground() as ground:
        figures = Rounds(ground, rounds).run()
        setting = Setting(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            load=load,
            rounds=rounds,
            python=platform.python_version(),
            plugins=ground.plugins(),
            tools={name: toolchain.TOOLS[name].version for name in names},
        )
    if file:
        file.write_text(json.dumps(as_json(figures, setting), indent=2) + "\n")
    show(figures, setting, Console(width=None if sys.stdout.isatty() else 140))


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    app()
