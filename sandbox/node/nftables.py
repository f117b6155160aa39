"""The rules of NetworkPolicies as one table of nftables, which is replaced as a whole."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses

from sandbox.node.policy_rules import DIRECTIONS, LAST_PORT, Block, Direction, Peers, Ports, Rules

TABLE = "network-policies"
LOG_GROUP = 7
"""Where the kernel sends packets that open a connection and are dropped (the group of nfnetlink_log)."""
LOGGED_BYTES = 96
"""The headers of a packet."""

# The names of rules and reasons are the prefixes of what is logged.
UNKNOWN = "unknown pod"
REASONS = {"Ingress": "ingress", "Egress": "egress"}

COMMENT_LENGTH = 127  # nft(8) accepts no longer one (NFTNL_UDATA_COMMENT_MAXLEN in libnftnl)
NFT_SECONDS = 30.0
_PROGRAM = "nft"


def table(rules: Rules, pod_range: str) -> str:
    """The input of `nft -f -` that replaces the table.

    The priorities come after those of kube-proxy, so destinations are pods, no longer Services. Traffic that the node
    itself sends, such as kubelet's probes, passes no chain of this table. Traffic between a pod and itself, through its
    Service, is always allowed. Pods have no IPv6 addresses except link-local ones, so no such packet is forwarded.
    """
    known = {pod.address for pod in rules.pods}
    lines = [
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        _set("known", "ipv4_addr", known),
        _set("itself", "ipv4_addr . ipv4_addr", (f"{address} . {address}" for address in known)),
        *(_set(f"isolated-{REASONS[way]}", "ipv4_addr", rules.isolated(way)) for way in DIRECTIONS),
        *(line for way in DIRECTIONS for line in _chain(rules, way, pod_range)),
        *_dropping("unknown", UNKNOWN),
        f"""chain source {{
    ip saddr != {pod_range} return
    ip saddr != @known goto drop-unknown
    ip saddr @isolated-egress jump egress
}}
chain destination {{
    ip daddr != {pod_range} return
    ip daddr != @known goto drop-unknown
    ip daddr @isolated-ingress jump ingress
}}
chain forward {{
    type filter hook forward priority filter + 10; policy accept;
    meta nfproto ipv6 drop
    ct state established,related accept
    ip saddr . ip daddr @itself accept
    jump source
    jump destination
}}
chain input {{
    type filter hook input priority filter + 10; policy accept;
    iifname "lo" accept
    ct state established,related accept
    meta nfproto ipv6 meta l4proto != ipv6-icmp drop
    jump source
}}""",
        "}",
    ]
    return "\n".join(lines) + "\n"


def apply(text: str) -> str | None:
    """Replace the table. Return the error of `nft`, after which the table is as before, or None."""
    try:
        done = subprocess.run(
            [_PROGRAM, "-f", "-"], input=text, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None


def exists() -> bool:
    """Whether the table exists."""
    listed = subprocess.run(
        [_PROGRAM, "list", "tables"], capture_output=True, text=True, timeout=NFT_SECONDS, check=False
    )
    return f"table inet {TABLE}" in listed.stdout.splitlines()


def _chain(rules: Rules, direction: Direction, pod_range: str) -> Iterator[str]:
    """The chain that returns for what the policies allow in one direction, and drops everything else."""
    name = REASONS[direction]
    yield from _dropping(name, f"{name} policies")
    yield f"chain {name} {{"
    for rule in rules.allowed:
        if rule.direction == direction and not (_is_ipv6(rule.sources) or _is_ipv6(rule.destinations)):
            match = f"{_match('saddr', rule.sources, pod_range)}{_match('daddr', rule.destinations, pod_range)}"
            for ports in _ports(rule.ports):
                yield f'    {match}{ports}return comment "{rule.policy[:COMMENT_LENGTH]}"'
    yield f"    goto drop-{name}"
    yield "}"


def _dropping(name: str, reason: str) -> Iterator[str]:
    """A chain that drops a packet, and logs it if it opens a connection."""
    log = f'log prefix "{reason}" group {LOG_GROUP} snaplen {LOGGED_BYTES}'
    yield f"chain drop-{name} {{"
    yield f"    tcp flags & (syn | ack) == syn {log}"
    yield f"    meta l4proto != tcp ct state new {log}"
    yield "    drop"
    yield "}"


def _is_ipv6(peers: Peers) -> bool:
    """Whether no packet matches: those of IPv6 are dropped before any rule."""
    return isinstance(peers, Block) and isinstance(peers.network, IPv6Network)


def _match(field: str, peers: Peers, pod_range: str) -> str:
    if peers is None:
        return ""
    if not isinstance(peers, Block):
        return f"ip {field} {_braces(peers)} "
    excluded = [str(one) for one in collapse_addresses(one for one in peers.excluded if isinstance(one, IPv4Network))]
    outside = f"ip {field} {peers.network} ip {field} != {pod_range} "
    return outside + (f"ip {field} != {{ {', '.join(excluded)} }} " if excluded else "")


def _ports(ports: tuple[Ports, ...] | None) -> Iterator[str]:
    """The matches of ports, one for each protocol; overlapping ranges would be an error in a set."""
    if ports is None:
        yield ""
        return
    for protocol in sorted({one.protocol for one in ports}):
        merged: list[list[int]] = []
        for one in sorted(one for one in ports if one.protocol == protocol):
            if merged and one.first <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], one.last)
            else:
                merged.append([one.first, one.last])
        name = protocol.lower()
        if merged == [[0, LAST_PORT]]:
            yield f"meta l4proto {name} "
        else:
            ranges = (str(first) if first == last else f"{first}-{last}" for first, last in merged)
            yield f"{name} dport {{ {', '.join(ranges)} }} "


def _set(name: str, kind: str, elements: Iterable[str]) -> str:
    found = _braces(elements)
    return f"set {name} {{ type {kind};{f' elements = {found};' if found else ''} }}"


def _braces(elements: Iterable[str]) -> str:
    found = sorted(elements, key=lambda text: [IPv4Address(part) for part in text.split(" . ")])
    return f"{{ {', '.join(found)} }}" if found else ""
