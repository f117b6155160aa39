"""`python -m benchmarks`: measures how long deployments take and shows which aims are met."""

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

from benchmarks.commands import BenchmarkError
from benchmarks.report import Setting, as_json, show
from benchmarks.rounds import Rounds
from benchmarks.temporary_sandbox import temporary_sandbox
from sandbox import manifests, nodes, services, toolchain
from sandbox.controlplane import CLI_TOOLS
from sandbox.errors import SandboxError
from sandbox.folder import Kind

INTERRUPTED = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Measured rounds, after a warm-up round.")] = 3,
    file: Annotated[Path | None, typer.Option("--json", help="Write all samples to this file.")] = None,
) -> None:
    """Measure how long deployments take and show which aims are met.

    Compares the dev stack with an empty program, a bare program and kubectl. A round takes about three minutes on two
    cores. The exit code is 0 even if aims are missed.
    """
    try:
        _bench(rounds, file)
    except (BenchmarkError, SandboxError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # Typer would exit without a message
        typer.echo("interrupted; the sandbox is deleted", err=True)
        sys.exit(INTERRUPTED)


def _bench(rounds: int, file: Path | None) -> None:
    if file and not file.parent.is_dir():
        raise BenchmarkError(f"--json {file}: the folder {file.parent} does not exist")
    load = os.getloadavg()[0]
    names = (*services.CONTROL_PLANE, *nodes.TOOLS[Kind.SIMULATED], *CLI_TOOLS)
    toolchain.ensure(names)  # builds are not measured
    manifests.ensure()
    with temporary_sandbox() as sandbox:
        figures = Rounds(sandbox, rounds).run()
        setting = Setting(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            load=load,
            rounds=rounds,
            python=platform.python_version(),
            plugins=sandbox.plugins(),
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
