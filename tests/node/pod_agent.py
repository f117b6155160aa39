"""Plays a pod in tests of networks: answers on ports, and connects to others. Run it in a network namespace.

    python pod_agent.py [PORT...]

It answers on these ports, for TCP and UDP, at every address, and prints `ready`. For each line of standard input, a
JSON list of `[address, port, protocol]`, it opens all these connections at once, and prints a JSON list of what
happened: `open`, `refused` (the peer was reached and has no server there), or `no answer`. Over UDP it asks for a name,
as of a DNS server.
"""

import errno
import json
import selectors
import socket
import sys
import threading
import time

SECONDS = 2.0  # the kernel sends the first packet of a TCP connection again after one second
QUESTION = bytes.fromhex("5a5a01000001000000000000") + b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\0\0\1\0\1"


def serve_tcp(port: int) -> None:
    """Accept connections. The kernel opens them, so nothing more is needed than to forget them."""
    server = socket.create_server(("0.0.0.0", port), backlog=64)  # noqa: S104  # of its own network namespace

    def serve() -> None:
        while True:
            server.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()


def serve_udp(port: int) -> None:
    """Answer every packet."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", port))  # noqa: S104  # as above

    def serve() -> None:
        while True:
            _, client = server.recvfrom(64)
            server.sendto(b"here", client)

    threading.Thread(target=serve, daemon=True).start()


def begin(address: str, port: int, protocol: str) -> socket.socket:
    """Start a connection, whose socket is writable, or for UDP readable, once the peer answers."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM)
    client.setblocking(False)
    if protocol == "UDP":
        client.connect((address, port))
        client.send(QUESTION)
    elif error := client.connect_ex((address, port)):
        assert error in {errno.EINPROGRESS, errno.ECONNREFUSED}, f"{address}:{port}: {errno.errorcode[error]}"
    return client


def outcome(client: socket.socket) -> str:
    """What happened on a socket that is ready."""
    error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error == 0:
        return "open"
    return "refused" if error == errno.ECONNREFUSED else "no answer"


def attempt(targets: list[tuple[str, int, str]]) -> list[str]:
    """Connect to all targets, and wait until all have answered or the time is over."""
    results = ["no answer"] * len(targets)
    with selectors.DefaultSelector() as waiting:
        for index, (address, port, protocol) in enumerate(targets):
            events = selectors.EVENT_READ if protocol == "UDP" else selectors.EVENT_WRITE
            waiting.register(begin(address, port, protocol), events, index)
        deadline = time.monotonic() + SECONDS
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                results[key.data] = outcome(client)
                waiting.unregister(client)
                client.close()
        for key in list(waiting.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return results


def main() -> None:
    """Serve the ports, then connect as standard input says."""
    for port in map(int, sys.argv[1:]):
        serve_tcp(port)
        serve_udp(port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(attempt(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
