"""Connections that NetworkPolicies refused, as the kernel reports them: one line of JSON for each in a file."""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

# linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nfnetlink_log.h
NETLINK_NETFILTER = 12
_REQUEST = 0x1  # NLM_F_REQUEST
_PACKET = 0x400  # NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET
_CONFIGURE = 0x401  # NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG
_CFG_COMMAND, _CFG_MODE, _CFG_TIMEOUT, _CFG_THRESHOLD = 1, 2, 4, 5  # NFULA_CFG_*
_BIND = struct.pack("=B", 1)  # NFULNL_CFG_CMD_BIND
_COPY_PACKETS = 2  # NFULNL_COPY_PACKET
_PAYLOAD, _PREFIX = 9, 10  # NFULA_*
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("!BBH")  # nfgenmsg: family, version, group
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_DATAGRAM_BYTES = 65_536

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 132: "SCTP"}
WITH_PORTS = ("TCP", "UDP", "SCTP")
REMEMBERED = 4096  # connections whose further packets are not written again

log = logging.getLogger("dropped")


@dataclass(frozen=True)
class Dropped:
    """A refused connection.

    `time` is in UTC (ISO 8601). `source` and `destination` are `namespace/name` of pods, or addresses. `reason` says
    which policies refused it: `ingress policies` or `egress policies`; `unknown pod` if a pod was not known yet.
    """

    time: str
    source: str
    destination: str
    protocol: str
    port: int
    reason: str


def path(sandbox: Path) -> Path:
    """The file of a sandbox, by its folder."""
    return sandbox / "node" / "dropped-connections.jsonl"


def read(file: Path, since: datetime | None = None) -> list[Dropped]:
    """Read the connections that were refused since a point in time (with its time zone)."""
    lines = file.read_text().splitlines() if file.exists() else ()
    found = [Dropped(**json.loads(line)) for line in lines]
    return [one for one in found if since is None or datetime.fromisoformat(one.time) >= since]


class Recorder(threading.Thread):
    """Writes every dropped connection to a file once, however often its client tries to send."""

    def __init__(self, file: Path, names: Mapping[str, str], group: int) -> None:
        """`names` maps the addresses of pods to their names; `group` is the kernel's log group."""
        super().__init__(daemon=True)
        self._file = file
        self._names = names
        self._group = group
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def run(self) -> None:
        """Write until the process ends."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        kernel.bind((0, 0))
        kernel.send(_configuration(self._group))
        with self._file.open("a", buffering=1) as file:
            while True:
                try:
                    data = kernel.recv(_DATAGRAM_BYTES)
                except OSError as error:  # more packets than could be read: ENOBUFS
                    log.warning("some dropped connections are not recorded: %s", error)
                    continue
                for prefix, packet in messages(data):
                    found = self._dropped(prefix, packet)
                    if found:
                        file.write(json.dumps(asdict(found)) + "\n")

    def _dropped(self, reason: str, packet: bytes) -> Dropped | None:
        """What a packet tells; None if it belongs to a connection that is written already."""
        if len(packet) < 20 or packet[0] >> 4 != 4:  # noqa: PLR2004  # the smallest header of IPv4 (RFC 791)
            return None
        transport = packet[(packet[0] & 0xF) * 4 :]
        protocol = PROTOCOLS.get(packet[9], str(packet[9]))
        ports = transport[:4] if protocol in WITH_PORTS and len(transport) >= 4 else bytes(4)  # noqa: PLR2004  # as above
        connection = packet[9:10] + packet[12:20] + ports
        if connection in self._seen:
            self._seen.move_to_end(connection)
            return None
        self._seen[connection] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        source, destination = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
        return Dropped(
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            self._names.get(source, source),
            self._names.get(destination, destination),
            protocol,
            int.from_bytes(ports[2:4], "big"),
            reason,
        )


def messages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The prefix and the first bytes of every packet in a datagram of the kernel."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        if kind == _PACKET:
            found = dict(_attributes(data[_HEADER.size + _FAMILY.size : length]))
            if _PAYLOAD in found:
                yield found.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace"), found[_PAYLOAD]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _configuration(group: int) -> bytes:
    """The request for the packets of a group, each at once."""
    mode = struct.pack("!IBB", _DATAGRAM_BYTES - 1, _COPY_PACKETS, 0)
    at_once, one = struct.pack("!I", 1), struct.pack("!I", 1)
    attributes = ((_CFG_COMMAND, _BIND), (_CFG_MODE, mode), (_CFG_TIMEOUT, at_once), (_CFG_THRESHOLD, one))
    body = _FAMILY.pack(0, 0, group)
    for kind, value in attributes:
        text = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
        body += text.ljust(_aligned(len(text)), b"\0")
    return _HEADER.pack(_HEADER.size + len(body), _CONFIGURE, _REQUEST, 0, 0) + body


def _aligned(length: int) -> int:
    return (length + 3) & ~3
