"""Plays a pod in tests of networks: answers on ports, and connects to others. Run it in a network namespace.

    python pod_agent.py PORT...

It answers on these ports, for TCP and UDP, at every address. For each line of standard input, a JSON list of
`[address, port, protocol]`, it prints a JSON list that says which of them answered.
"""

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

SECONDS = 1.5  # the kernel sends the first packet of a TCP connection again after one second


def serve_tcp(port: int) -> None:
    server = socket.create_server(("0.0.0.0", port), backlog=64)  # noqa: S104  # of its own network namespace

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"here")

    threading.Thread(target=serve, daemon=True).start()


def serve_udp(port: int) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", port))  # noqa: S104  # as above

    def serve() -> None:
        while True:
            _, client = server.recvfrom(64)
            server.sendto(b"here", client)

    threading.Thread(target=serve, daemon=True).start()


def answers(target: list[object]) -> bool:
    address, port, protocol = target
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(SECONDS)
        try:
            client.connect((address, port))
            if protocol == "UDP":
                client.send(b"anyone")
            return client.recv(64) == b"here"
        except TimeoutError:
            return False


def main() -> None:
    for port in map(int, sys.argv[1:]):
        serve_tcp(port)
        serve_udp(port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with ThreadPoolExecutor(32) as pool:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(list(pool.map(answers, json.loads(line)))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
