"""Dropped connections: what the kernel reports becomes one line for each connection."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from sandbox.node.dropped import Recorder, messages, read


def packet(source: str, destination: str, ports: tuple[int, int], protocol: int = 6) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, protocol, 0)
    return (
        header + IPv4Address(source).packed + IPv4Address(destination).packed + struct.pack("!HH", *ports) + bytes(16)
    )


def reported(prefix: str, content: bytes) -> bytes:
    """A message as the kernel sends it."""
    attributes = b""
    for kind, value in ((10, prefix.encode() + b"\0"), (9, content)):
        text = struct.pack("=HH", 4 + len(value), kind) + value
        attributes += text.ljust((len(text) + 3) & ~3, b"\0")
    return struct.pack("=IHHII", 20 + len(attributes), 0x400, 0, 0, 0) + struct.pack("!BBH", 2, 0, 7) + attributes


def test_messages_of_the_kernel_are_read() -> None:
    first, second = packet("10.244.0.2", "10.244.0.3", (40000, 5432)), packet("10.244.0.2", "8.8.8.8", (1, 53), 17)
    other = struct.pack("=IHHII", 16, 2, 0, 0, 0)  # NLMSG_ERROR, which is not about a packet
    data = reported("ingress policies", first) + other + reported("egress policies", second)
    assert list(messages(data)) == [("ingress policies", first), ("egress policies", second)]
    assert list(messages(b"")) == []
    assert list(messages(data[:10])) == []
    assert list(messages(bytes(32))) == []


def test_a_connection_is_recorded_once(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "dropped.jsonl", {"10.244.0.2": "app/web"}, 7)
    content = packet("10.244.0.2", "203.0.113.9", (40000, 443))
    found = recorder._dropped("egress policies", content)
    assert found
    assert (found.source, found.destination, found.protocol, found.port, found.reason) == (
        "app/web",
        "203.0.113.9",
        "TCP",
        443,
        "egress policies",
    )
    assert recorder._dropped("egress policies", content) is None
    assert recorder._dropped("egress policies", packet("10.244.0.2", "203.0.113.9", (40001, 443)))
    assert recorder._dropped("egress policies", content[:10]) is None


def test_connections_since_a_time_are_read(tmp_path: Path) -> None:
    file = tmp_path / "dropped.jsonl"
    assert read(file) == []
    now = datetime.now(UTC)
    file.write_text(
        "".join(
            f'{{"time": "{(now + timedelta(seconds=offset)).isoformat()}", "source": "a/b", "destination": "c/d", '
            f'"protocol": "TCP", "port": {port}, "reason": "unknown pod"}}\n'
            for offset, port in ((-5, 1), (5, 2))
        )
    )
    assert [one.port for one in read(file)] == [1, 2]
    assert [one.port for one in read(file, now)] == [2]
