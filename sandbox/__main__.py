"""The sandbox's command line: `python -m sandbox up|deploy|down|status|reset|env|tools|images`."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from types import FrameType
from typing import Annotated

import typer

from sandbox.controlplane import Sandbox, Status
from sandbox.errors import SandboxError
from sandbox.folder import Kind
from sandbox.processes import State

NOT_RUNNING = 3  # the exit code of init scripts
DEGRADED = 1
INTERRUPTED = 130

app = typer.Typer(
    help="A Kubernetes control plane and the Pulumi toolchain on this machine, without containers and without root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


NODES = Annotated[
    Kind | None,
    typer.Option(
        "--node",
        help="Simulated nodes, on which pods become ready without running, or a real one (needs Linux and root). "
        "Default: that of the existing sandbox, else simulated.",
        show_default=False,
    ),
]


@app.command()
def up(*, node: NODES = None) -> None:
    """Start the control plane and wait until it is ready."""
    Sandbox().up(node)
    typer.echo('to use it from this shell: eval "$(python -m sandbox env)"', err=True)


@app.command()
def deploy(
    stack: Annotated[str, typer.Argument(help="A stack in the folder `stacks`.")] = "dev", *, node: NODES = None
) -> None:
    """Start the control plane and deploy a stack with `pulumi up`."""
    from sandbox import deploy as deployment  # noqa: PLC0415  # only this command needs it

    deployment.deploy(stack, Sandbox(), node)


@app.command()
def down() -> None:
    """Stop all processes and keep the state."""
    Sandbox().down()


@app.command()
def reset() -> None:
    """Stop all processes and delete all state, Pulumi's included."""
    Sandbox().reset()


@app.command()
def env() -> None:
    """Print the environment of pulumi and kubectl as `export` lines."""
    for name, value in Sandbox().environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the state of each process.

    Exit code: 0 running, 1 degraded, 3 stopped.
    """
    found = Sandbox().status()
    typer.echo(found.as_json() if json else _table(found))
    raise typer.Exit({"running": 0, "stopped": NOT_RUNNING}.get(found.state, DEGRADED))


@app.command()
def tools(
    names: Annotated[list[str] | None, typer.Argument(help="Names of tools. Default: all.")] = None,
    *,
    print_dir: Annotated[bool, typer.Option("--print-dir", help="Print only the cache folder.")] = False,
) -> None:
    """Download or build missing tools and print their paths."""
    from sandbox import cache, manifests, toolchain  # noqa: PLC0415  # only this command needs them

    if print_dir:
        typer.echo(cache.root())
        return
    if unknown := sorted(set(names or ()) - set(toolchain.TOOLS)):
        raise SandboxError(f"unknown tool: {', '.join(unknown)}", f"choose from {', '.join(toolchain.TOOLS)}")
    for name, path in toolchain.ensure(names or toolchain.TOOLS).items():
        typer.echo(f"{name:24} {toolchain.TOOLS[name].version:14} {path}")
    if not names:
        manifests.ensure()


@app.command()
def images(
    references: Annotated[
        list[str] | None, typer.Argument(help="Complete references. Default: those of a cluster and of the program.")
    ] = None,
) -> None:
    """Pull or pack missing images and print their archives."""
    from sandbox import images as made  # noqa: PLC0415  # only this command needs them
    from sandbox.images import catalog  # noqa: PLC0415

    for reference, archive in made.ensure(references or catalog.DEFAULTS).items():
        typer.echo(f"{reference} {archive}")


def _table(found: Status) -> str:
    lines = [f"sandbox {found.state} in {found.folder}"]
    if found.server:
        lines.append(f"API server {found.server} ({'ready' if found.ready else 'not ready'})")
    for report in found.processes:
        cells = [f"  {report.name:24} {report.state.value:8}"]
        if report.state is State.RUNNING:
            cells.append(f"pid {report.pid:<8}")
            cells.append(f"port {report.port:<6}" if report.port else " " * 11)
            cells.append(f"{(report.memory_bytes or 0) // 2**20:4} MiB")
            cells.append(f"for {(time.time() - (report.started or 0)) / 60:.0f} min")
        lines.append("  ".join(cells))
        if report.state is State.CRASHED:
            lines += [f"      {line}" for line in report.last_lines]
            lines.append(f"      log: {report.log}")
    if any(report.state is State.CRASHED for report in found.processes):
        lines.append("  fix: run `python -m sandbox up` to restart crashed processes")
    return "\n".join(lines)


def main() -> None:
    """Run a command; expected errors are shown without a traceback."""
    if sys.platform not in {"linux", "darwin"}:
        sys.exit(f"error: the sandbox needs Linux or macOS, not {sys.platform}; on Windows use WSL")
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    try:
        app()
    except SandboxError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.strerror or error}: {error.filename or 'the sandbox folder'}")
    except _Interrupted:
        typer.echo("interrupted; run the same command again to continue", err=True)
        sys.exit(INTERRUPTED)


class _Interrupted(BaseException):
    """Raised on Ctrl-C and SIGTERM. Typer catches KeyboardInterrupt and prints nothing helpful, but not this."""


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _Interrupted


if __name__ == "__main__":
    main()
