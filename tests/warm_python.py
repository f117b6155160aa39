"""A Python interpreter for plugins, programs and commands that starts fast: `PLUGINS_PYTHON` in tests.

Each command of the engine starts four to ten interpreters, which spend half of its CPU time importing gRPC, `pulumi`
and `pulumi_kubernetes`. Here one process imports them once, and forks for each Python file or module (`-m`) that it is
asked to run. `warm_client.py`, which stands for the interpreter, asks it.
"""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import runpy
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

CHECKOUT: Final = Path(__file__).resolve().parents[1]
CLIENT: Final = Path(__file__).with_name("warm_client.py")
MESSAGE_BYTES: Final = 1 << 20
PARENT_CHECK_SECONDS: Final = 1.0
STANDARD_STREAMS: Final = 3
PRELOADED: Final = (
    "pulumi.dynamic",
    "pulumi_policy",
    "components.langfuse",
    "langfuse_policies.packs",
    "operations.cluster",
    "operations.commands.images",
    "operations.commands.postgres",
    "operations.commands.reports",
    "operations.commands.sizing",
    "operations.commands.stacks",
    "operations.commands.stores",
    "operations.postgres_upgrade",
    "sandbox.deploy",
    "sandbox.plugins.kubernetes.provider",
    "sandbox.plugins.random.provider",
)


class Job(NamedTuple):
    """What to run: the interpreter's arguments, its environment and its working directory."""

    arguments: list[str]
    environment: dict[bytes, bytes]
    directory: str


@contextmanager
def warm_python(folder: Path) -> Iterator[Path]:
    """Start the process that forks, and yield the executable that stands for the interpreter, in a new folder."""
    executable, address = folder / "python", folder / "socket"
    folder.mkdir()
    words = [sys.executable, "-I", "-S", str(CLIENT), str(address), sys.executable]
    executable.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    executable.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen(128)
        command = [sys.executable, "-P", __file__, str(listener.fileno()), str(os.getpid()), str(executable)]
        with subprocess.Popen(command, pass_fds=[listener.fileno()], start_new_session=True) as process:
            try:
                yield executable
            finally:
                process.kill()


class Server:
    """Forks for each job. A client that ends before its fork, because it was killed, takes the fork with it."""

    def __init__(self, listener: socket.socket, test_run: int) -> None:
        """Serve on a listening socket for the process with the number `test_run`."""
        self._listener = listener
        self._test_run = test_run
        self._clients: dict[int, socket.socket] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        for source in (listener, self._woken):
            self._selector.register(source, selectors.EVENT_READ)

    def next_job(self) -> Job | None:
        """Serve until the test run has ended and return None; in each fork, return its job."""
        while os.getppid() == self._test_run:
            for key, _ in self._selector.select(PARENT_CHECK_SECONDS):
                if key.fileobj is self._listener:
                    client, _ = self._listener.accept()
                    if job := self._fork(client):
                        return job
                elif key.fileobj is self._woken:
                    self._woken.recv(MESSAGE_BYTES)
                    self._reap()
                elif key.data in self._clients:
                    os.killpg(key.data, signal.SIGKILL)
                    self._selector.unregister(key.fileobj)
        return None

    def _fork(self, client: socket.socket) -> Job | None:
        message, files, _, _ = socket.recv_fds(client, MESSAGE_BYTES, STANDARD_STREAMS)
        child = os.fork()
        if child:
            with suppress(ProcessLookupError):
                os.setpgid(child, child)  # the client may send a signal before the fork gets to do it
            for file in files:
                os.close(file)
            _tell(client, child)
            self._clients[child] = client
            self._selector.register(client, selectors.EVENT_READ, child)
            return None
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        self._selector.close()
        for source in (self._listener, self._woken, self._wake, client, *self._clients.values()):
            source.close()
        return Job(*marshal.loads(message))  # noqa: S302  # of `warm_client.py`

    def _reap(self) -> None:
        for child, client in list(self._clients.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._clients[child]
                if client in self._selector.get_map():
                    self._selector.unregister(client)
                _tell(client, os.waitstatus_to_exitcode(status))
                client.close()


def _tell(client: socket.socket, number: int) -> None:
    with suppress(OSError):  # it was killed
        client.send(str(number).encode())


def preload(executable: Path) -> None:
    """Import what most files need, and let the language host run programs and policy packs with the executable."""
    paths = list(sys.path)
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "policies")]
    for module in PRELOADED:
        import_module(module)
    sys.path[:] = paths
    from pulumi import log  # noqa: PLC0415  # only if anything is run

    from sandbox.plugins.language_python.toolchain import Toolchain  # noqa: PLC0415  # not in the module path before

    interpreter, chosen_by = Path(sys.executable), Toolchain.python

    def python(toolchain: Toolchain) -> Path:
        chosen = chosen_by(toolchain)
        return executable if chosen == interpreter else chosen

    Toolchain.python = python  # type: ignore[method-assign,assignment]  # the parameter has another name
    sys.executable = str(executable)
    # Five messages per resource, which no test reads, take an eighth of the CPU time of a program and of the engine.
    log.debug = lambda *_, **__: None
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of it


def run(job: Job) -> None:
    """Run a file or a module as the interpreter would."""
    os.environb.clear()
    os.environb.update(job.environment)
    os.chdir(job.directory)
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if job.arguments[0] == "-m":
        run_module(*job.arguments[1:])
    else:
        run_file(job.arguments)


def run_module(name: str, *words: str) -> None:
    """Run a module of the working directory. What it starts outlives it, so that is run by the interpreter itself."""
    if Path.cwd() != CHECKOUT:
        forget_checkout()
    sys.executable = sys.orig_argv[0]  # `preload` changed it
    sys.argv = [name, *words]
    sys.path.insert(0, os.getcwd())
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def run_file(arguments: list[str]) -> None:
    """Run a file. Another checkout's program must not get modules of this one."""
    is_safe = arguments[0] == "-P"
    sys.argv = arguments[is_safe:]
    file, *rest = sys.argv
    if not is_safe:
        sys.path.insert(0, os.path.dirname(file))
        if not any(Path(word).is_relative_to(CHECKOUT) for word in rest):
            forget_checkout()
    runpy.run_path(file, run_name="__main__")


def forget_checkout() -> None:
    """Remove the modules of this checkout."""
    for name in {name for name, module in sys.modules.items() if _is_ours(module)}:
        del sys.modules[name]


def _is_ours(module: ModuleType) -> bool:
    file = Path(getattr(module, "__file__", None) or "/")
    return file.is_relative_to(CHECKOUT) and not file.is_relative_to(sys.prefix) and module.__name__ != "__main__"


def main() -> None:
    """Serve on the listening socket with this number, for the process with the second. Forks get here too."""
    code = 0
    # Registered first, it runs last. The interpreter would free all modules next, and copy them for that.
    atexit.register(lambda: os._exit(code))
    number, parent, executable = sys.argv[1:]
    listener, test_run = socket.socket(fileno=int(number)), int(parent)
    while not select.select([listener], [], [], PARENT_CHECK_SECONDS)[0]:
        if os.getppid() != test_run:
            return
    preload(Path(executable))
    job = Server(listener, test_run).next_job()
    if job is None:
        return
    try:
        run(job)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException:
        code = 1
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
