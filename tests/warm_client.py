"""Has the process of `warm_python.py` run a Python file or a module: `warm_client.py SOCKET PYTHON [-P] FILE ...`.

It forwards signals and ends as the file ends. Anything but a file or `-m MODULE` is run by PYTHON.
"""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM)
PARENT_CHECK_SECONDS = 1.0
NUMBER_BYTES = 16


def main() -> int:
    """Return the file's exit code."""
    address, python, *words = sys.argv[1:]
    file = next((word for word in words if word != "-P"), "")
    if file != "-m" and not file.endswith(".py"):
        os.execv(python, [python, *words])  # noqa: S606  # no shell is needed
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    parent = os.getppid()
    job = {"arguments": words, "environment": dict(os.environ), "directory": os.getcwd()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(job).encode()], [0, 1, 2])
        group = int(server.recv(NUMBER_BYTES))
        for number in FORWARDED:
            signal.signal(number, lambda received, _frame: os.killpg(group, received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        server.settimeout(PARENT_CHECK_SECONDS)
        while os.getppid() == parent:
            try:
                return int(server.recv(NUMBER_BYTES))
            except TimeoutError:
                continue
    return 1


if __name__ == "__main__":
    code = main()
    if code < 0:  # a signal killed it
        if -code in FORWARDED:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
