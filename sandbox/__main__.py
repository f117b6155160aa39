"""The sandbox's command line: `python -m sandbox up|deploy|down|status|reset|env|tools`."""

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
from sandbox.processes import State

NOT_RUNNING = 3  # as init scripts answer it
DEGRADED = 1
INTERRUPTED = 130

app = typer.Typer(
    help="A Kubernetes control plane and the Pulumi toolchain on this machine, without containers and without root.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up() -> None:
    """Prepare the tools, start what does not run, and wait until the cluster is ready."""
    Sandbox().up()
    typer.echo('use it from this shell: eval "$(python -m sandbox env)"', err=True)


@app.command()
def deploy(stack: Annotated[str, typer.Argument(help="A stack of the folder `stacks`.")] = "dev") -> None:
    """Do what `up` does, then deploy a stack of this checkout with `pulumi up`."""
    from sandbox import deploy as deployment  # noqa: PLC0415  # only this command needs it

    deployment.deploy(stack, Sandbox())


@app.command()
def down() -> None:
    """Stop every process; the state stays for the next `up`."""
    Sandbox().down()


@app.command()
def reset() -> None:
    """Stop everything and delete the sandbox folder, with the cluster and Pulumi's state of local stacks."""
    Sandbox().reset()


@app.command()
def env() -> None:
    """Print the shell's `export` lines that make plain `pulumi` and `kubectl` use this sandbox."""
    for name, value in Sandbox().environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(*, json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Tell what runs and what crashed. Exit code 0: all is well, 1: something is wrong, 3: stopped."""
    found = Sandbox().status()
    typer.echo(found.as_json() if json else _table(found))
    raise typer.Exit({"running": 0, "stopped": NOT_RUNNING}.get(found.state, DEGRADED))


@app.command()
def tools(
    names: Annotated[list[str] | None, typer.Argument(help="Which tools; all of them by default.")] = None,
    *,
    print_dir: Annotated[bool, typer.Option("--print-dir", help="Print only the cache folder.")] = False,
) -> None:
    """Download or build the tools that are missing, the object store of the tests included, and tell where they are."""
    from sandbox import cache, manifests, toolchain  # noqa: PLC0415  # only this command needs them

    if print_dir:
        typer.echo(cache.root())
        return
    if unknown := sorted(set(names or ()) - set(toolchain.TOOLS)):
        raise SandboxError(f"there is no tool {', '.join(unknown)}", f"choose from {', '.join(toolchain.TOOLS)}")
    for name, path in toolchain.ensure(names or toolchain.TOOLS).items():
        typer.echo(f"{name:24} {toolchain.TOOLS[name].version:14} {path}")
    if not names:
        manifests.ensure()


def _table(found: Status) -> str:
    lines = [f"sandbox {found.state} in {found.folder}"]
    if found.server:
        lines.append(f"API server {found.server} ({'ready' if found.ready else 'not ready'})")
    for report in found.processes:
        words = [f"  {report.name:24} {report.state.value:8}"]
        if report.state is State.RUNNING:
            words.append(f"pid {report.pid:<8}")
            words.append(f"port {report.port:<6}" if report.port else " " * 11)
            words.append(f"{(report.memory_bytes or 0) // 2**20:4} MiB")
            words.append(f"for {(time.time() - (report.started or 0)) / 60:.0f} min")
        lines.append("  ".join(words))
        if report.state is State.CRASHED:
            lines += [f"      {line}" for line in report.last_lines]
            lines.append(f"      log: {report.log}")
    if any(report.state is State.CRASHED for report in found.processes):
        lines.append("  fix: `python -m sandbox up` starts what crashed")
    return "\n".join(lines)


def main() -> None:
    """Run a command; what people can mend is told without a traceback."""
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
        typer.echo("interrupted; the same command continues where it stopped", err=True)
        sys.exit(INTERRUPTED)


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM; unlike KeyboardInterrupt it passes through typer, which would say nothing helpful."""


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _Interrupted


if __name__ == "__main__":
    main()
