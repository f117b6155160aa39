"""`clickhouse-client`: stands in for ClickHouse's client, with the options that our scripts use.

It speaks the protocol of `native.py`. Its exit code is that of the real client: the code of the error
modulo 256, or 1 if that is 0 (programs/client/Client.cpp). It imports little, because scripts start it often.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

NETWORK_ERROR, EOF, SOCKET_TIMEOUT, BAD_ARGUMENTS = 210, 32, 209, 36

_SHORT = {"-h": "host", "-u": "user", "-q": "query", "-d": "database", "-f": "format", "-n": "multiquery"}
_CONNECTION = ("host", "port", "user", "password", "database", "query", "format", "connect_timeout", "receive_timeout")
_FLAGS = ("multiquery", "secure", "no-secure", "version", "help", "accept-invalid-certificate")
_HELP = """\
clickhouse-client of the sandbox: it speaks only to the sandbox's clickhouse-server.
Options: --host --port --user --password --database --query --format --connect_timeout --receive_timeout --version,
and settings, such as --max_threads=1. Without --query, it runs the statements of standard input.
"""

VERSION = "ClickHouse client of the sandbox"


class ClientError(Exception):
    """An error with its code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def options(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values of the options by their names, with defaults."""
    found = {
        "host": environment.get("CLICKHOUSE_HOST", "localhost"),
        "port": "9000",
        "user": environment.get("CLICKHOUSE_USER", "default"),
        "password": environment.get("CLICKHOUSE_PASSWORD", ""),
        "connect_timeout": "10",
        "receive_timeout": "300",
    }
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        name = _SHORT.get(option, option.removeprefix("--"))
        if not option.startswith("-"):
            raise ClientError(BAD_ARGUMENTS, f"Code: 36. DB::Exception: Positional option {option} is not supported.")
        if name in _FLAGS:
            value = "1"
        elif not equals:
            if not rest:
                raise ClientError(
                    BAD_ARGUMENTS, f"Bad arguments: the required argument for option '{option}' is missing"
                )
            value = rest.pop(0)
        found[name if name in _FLAGS else name.replace("-", "_")] = value
    return found


def run(chosen: Mapping[str, str]) -> bytes:
    """Send the statements, and return the output."""
    address = f"{chosen['host']}:{chosen['port']}"
    if chosen.get("secure"):
        raise ClientError(
            NETWORK_ERROR, "Code: 210. DB::NetException: The sandbox's client has no TLS. (NETWORK_ERROR)"
        )
    try:
        connection = socket.create_connection((chosen["host"], int(chosen["port"])), float(chosen["connect_timeout"]))
    except OSError as error:
        text = f"Code: 210. DB::NetException: {error} ({address}). (NETWORK_ERROR)"
        raise ClientError(NETWORK_ERROR, text) from error
    with connection, connection.makefile("rb") as file:
        try:
            connection.settimeout(float(chosen["receive_timeout"]))
            connection.sendall(request(chosen))
            answer = json.loads(file.readline() or b"{}")
            output = file.read(answer.get("bytes", 0))
        except TimeoutError as error:
            text = f"Code: 209. DB::NetException: Timeout exceeded while reading from socket ({address})."
            raise ClientError(SOCKET_TIMEOUT, f"{text} (SOCKET_TIMEOUT)") from error
        except OSError as error:
            raise ClientError(NETWORK_ERROR, f"Code: 210. DB::NetException: {error} ({address}).") from error
    if "error" in answer:
        text = answer["error"].partition("DB::Exception: ")[2] or answer["error"]
        raise ClientError(
            answer["code"],
            f"Received exception from server:\nCode: {answer['code']}. DB::Exception: Received from {address}. "
            f"DB::Exception: {text}\n(query: {chosen['query']})",
        )
    if len(output) != answer.get("bytes"):
        text = f"Code: 32. DB::Exception: Attempt to read after eof: while receiving packet from {address}."
        raise ClientError(EOF, f"{text} (ATTEMPT_TO_READ_AFTER_EOF)")
    return bytes(output)


def request(chosen: Mapping[str, str]) -> bytes:
    """The request with these options. Those that the client does not use itself are settings."""
    fields = {name: chosen.get(name, "") for name in ("user", "password", "database", "query", "format")}
    settings = {name: value for name, value in chosen.items() if name not in (*_CONNECTION, *_FLAGS)}
    return json.dumps({**fields, "settings": settings}).encode() + b"\n"


def main() -> None:
    """Run with the options of the command line."""
    try:
        chosen = options(sys.argv[1:], os.environ)
        if chosen.get("help") or chosen.get("version"):
            sys.stdout.write(_HELP if chosen.get("help") else f"{VERSION}\n")
            return
        if "query" not in chosen:
            chosen["query"] = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        sys.stdout.buffer.write(run(chosen))
        sys.stdout.flush()
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.code % 256 or 1)


if __name__ == "__main__":
    main()
