"""Has the process of `warm_python.py` run a Python file or a module: `warm_client.py SOCKET PYTHON [-P] FILE ...`.

It forwards signals and ends as the file ends. Anything but a file or `-m MODULE` is run by PYTHON.

It imports only modules that are part of the interpreter: `json`, `os`, `signal` and `socket` would take more CPU time
than everything else.
"""

import _signal  # type: ignore[import-not-found]  # the C part of `signal`, with the same functions
import _socket
import marshal
import posix
import sys

FORWARDED = (_signal.SIGINT, _signal.SIGTERM)
PARENT_CHECK_SECONDS = 1.0
NUMBER_BYTES = 16


def main() -> int:
    """Return the file's exit code."""
    address, python, *words = sys.argv[1:]
    file = next((word for word in words if word != "-P"), "")
    if file != "-m" and not file.endswith(".py"):
        posix.execv(python, [python, *words])
    _signal.pthread_sigmask(_signal.SIG_BLOCK, FORWARDED)
    parent = posix.getppid()
    job = marshal.dumps((words, posix.environ, posix.getcwd()))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    server.connect(address)
    server.sendmsg([job], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    group = int(server.recv(NUMBER_BYTES))
    for number in FORWARDED:
        _signal.signal(number, lambda received, _frame: posix.killpg(group, received))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, FORWARDED)
    server.settimeout(PARENT_CHECK_SECONDS)
    while posix.getppid() == parent:
        try:
            return int(server.recv(NUMBER_BYTES))
        except TimeoutError:
            continue
    return 1


if __name__ == "__main__":
    code = main()
    if code < 0:  # a signal killed it
        if -code in FORWARDED:
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code)
