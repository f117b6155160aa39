"""Runs a Pulumi program: the language host starts this file with the program's own interpreter.

It needs nothing but the standard library and the `pulumi` package. Like the official `pulumi-language-python-exec`
(sdk/python/cmd) it configures the runtime, runs the program in a stack and reports failures.
Exit codes: 0 success, 1 failure, 32 failure with an error that was already shown to the user.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

SHOWN_TO_USER = 32
PARENT_CHECK_SECONDS = 1.0
THREADS_PER_OPERATION = 4

try:
    import pulumi
    import pulumi.runtime
except ImportError:
    traceback.print_exc()
    sys.stderr.write(
        f"\nThe `pulumi` package can't be imported by {sys.executable}; run `pulumi install` to install it.\n"
    )
    sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the language host."""
    parser = argparse.ArgumentParser(description="Execute a Pulumi Python program")
    for name in ("project", "root_directory", "stack", "pwd", "monitor", "engine", "tracing", "organization"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("--dry_run", default="false")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def exit_with_parent(parent: int) -> None:
    """Kill this process group when the language host has ended, for whatever reason."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.killpg(0, signal.SIGKILL)


def user_traceback(program: str) -> str:
    """Return the current exception's traceback, starting at the first frame of the program."""
    main = os.path.join(program, "__main__.py") if os.path.isdir(program) else program
    frames = traceback.extract_tb(sys.exc_info()[2])
    for index, frame in enumerate(frames):
        if os.path.abspath(frame.filename) == main:
            return traceback.format_exc(limit=index - len(frames))
    return traceback.format_exc()


def main() -> int:
    """Run the program and return the exit code."""
    arguments = parse_arguments()
    threading.Thread(target=exit_with_parent, args=[os.getppid()], daemon=True).start()
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            monitor=arguments.monitor,
            engine=arguments.engine,
            project=arguments.project,
            stack=arguments.stack,
            parallel=arguments.parallel,
            dry_run=arguments.dry_run == "true",
            organization=arguments.organization,
            root_directory=arguments.root_directory,
        )
    )
    sys.argv = [arguments.program, *arguments.arguments]
    if arguments.pwd is not None:
        os.chdir(arguments.pwd)
    program = os.path.abspath(arguments.program)
    if os.path.isdir(program) and not os.path.isfile(os.path.join(program, "__main__.py")):
        pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
        return SHOWN_TO_USER

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(arguments.parallel, 1) * THREADS_PER_OPERATION)
    loop.set_default_executor(executor)
    # A failed program leaves futures that nobody awaits; asyncio's warnings about them would hide the real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    def run() -> None:
        runpy.run_path(arguments.program, run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception:
        pulumi.log.error("Program failed with an unhandled exception:\n" + user_traceback(program))
        return SHOWN_TO_USER
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    # Python puts this file's folder first on the module path; the program must not import from it.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.path.dirname(os.path.abspath(__file__))]
    sys.exit(main())
