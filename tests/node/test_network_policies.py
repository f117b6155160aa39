"""NetworkPolicies with the real kernel: pods of network namespaces connect to each other through the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.node import dropped
from sandbox.node.network import POD_RANGE
from sandbox.node.nftables import LOG_GROUP, table
from sandbox.node.policy_rules import Rules, rules
from tests.node import pod_networks
from tests.node.namespaces import Namespaces, private
from tests.unit.sandbox.connections import Json, allows, app, namespace, pod, policy
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

NODE = "10.250.7.2"
GATEWAY = "10.244.0.1"
PORTS = (53, 80, 443, 3000, 3001, 5432, 6443, 8085, 9000)

PODS = {
    "web": "10.244.0.2",
    "worker": "10.244.0.3",
    "store": "10.244.0.4",
    "replica": "10.244.0.5",
    "job": "10.244.0.6",
    "monitor": "10.244.0.7",
    "stranger": "10.244.0.8",
    "free": "10.244.0.9",
    "dns": "10.244.0.10",
    "late": "10.244.0.11",  # the API server has no address of it yet
    "ended": "10.244.0.12",  # its phase is Succeeded
}
OUTSIDE = {
    "host": "10.250.7.1",
    "internet": "198.51.100.7",
    "metadata": "169.254.169.254",
    "local-dns": "169.254.20.10",
}
SERVICES = {  # as kube-proxy translates them: (address, port) to (address, port)
    "web-service": ("10.96.0.20", 80, PODS["web"], 3000),
    "store-service": ("10.96.0.21", 5432, PODS["store"], 5432),
    "dns-service": ("10.96.0.10", 53, PODS["dns"], 53),
    "api-service": ("10.96.0.1", 443, NODE, 6443),
}
ADDRESSES = {**PODS, **OUTSIDE, "node": NODE, **{name: service[0] for name, service in SERVICES.items()}}

NAMESPACES = [
    namespace("app"),
    namespace("monitoring", team="platform"),
    namespace("elsewhere", team="blue"),
    namespace("open"),
    namespace("kube-system"),
]
OBJECTS = [
    pod("web", PODS["web"], ports={"http": 3000}),
    pod("worker", PODS["worker"]),
    pod("store", PODS["store"], ports={"sql": 5432}),
    pod("replica", PODS["replica"], {"app": "store", "role": "replica"}, ports={"sql": 9000}),
    pod("job", PODS["job"]),
    pod("monitor", PODS["monitor"], within="monitoring", ports={"http": 3001}),
    pod("stranger", PODS["stranger"], within="elsewhere", ports={"http": 3001}),
    pod("free", PODS["free"], within="open"),
    pod("dns", PODS["dns"], within="kube-system"),
    pod("ended", PODS["ended"], phase="Succeeded"),
]


def named(name: str) -> Json:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


POLICIES = [
    policy("default-deny", {}, policyTypes=["Ingress", "Egress"]),
    policy(
        "dns",
        {},
        policyTypes=["Egress"],
        egress=[
            {
                "to": [
                    {"namespaceSelector": named("kube-system"), "podSelector": app("dns")},
                    {"ipBlock": {"cidr": "169.254.20.10/32"}},
                ],
                "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
            }
        ],
    ),
    policy("inside", {}, policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}]}]),
    policy(
        "internet",
        app("web", "worker"),
        policyTypes=["Egress"],
        egress=[
            {
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.250.7.0/31"]}}],
                "ports": [{"port": 443}, {"port": 8080, "endPort": 8090}],
            }
        ],
    ),
    policy("api", app("job"), policyTypes=["Egress"], egress=[{"ports": [{"port": 6443, "protocol": "TCP"}]}]),
    policy(
        "store",  # a named port, which differs between its pods
        app("store"),
        ingress=[{"from": [{"podSelector": app("web", "worker")}], "ports": [{"port": "sql"}]}],
    ),
    policy(
        "web",  # from everywhere
        app("web"),
        ingress=[{"ports": [{"port": "http"}]}],
    ),
    policy(
        "monitoring",
        {"matchExpressions": [{"key": "role", "operator": "DoesNotExist"}]},
        ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "platform"}}}], "ports": [{"port": 9000}]}],
    ),
    policy(
        "replica",
        {"matchExpressions": [{"key": "role", "operator": "Exists"}]},
        ingress=[
            {
                "from": [
                    {
                        "namespaceSelector": {},
                        "podSelector": {
                            "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["stranger", "free"]}]
                        },
                    }
                ],
                "ports": [{"protocol": "UDP"}],
            }
        ],
    ),
    policy("nothing", app("job"), ingress=[]),
    policy(
        "scrape",  # a named port of the pods that are connected to
        app("monitor"),
        "monitoring",
        policyTypes=["Egress"],
        egress=[
            {"to": [{"namespaceSelector": {}}], "ports": [{"port": "http"}]},
            {"to": [{"namespaceSelector": named("app"), "podSelector": {}}], "ports": [{"port": 9000}]},
        ],
    ),
    policy(
        "from-the-host",
        app("stranger"),
        "elsewhere",
        ingress=[
            {"from": [{"ipBlock": {"cidr": "10.250.7.0/30"}}], "ports": [{"port": 3001}]},
            {"from": [{"podSelector": {}}, {"namespaceSelector": named("open")}], "ports": [{"port": 80}]},
        ],
    ),
]


class Case(NamedTuple):
    source: str
    destination: str
    port: int
    protocol: str
    allowed: bool
    why: str


def _cases(text: str) -> Iterator[Case]:
    for line in text.strip().splitlines():
        connection, _, why = line.partition("#")
        source, verdict, destination, port, *protocol = connection.split()
        yield Case(source, destination, int(port), (protocol or ["TCP"])[0], verdict == "->", why.strip())


CASES = list(
    _cases(
        """
web      ->  store         5432      # a named port, from a pod that the selector lists
worker   ->  store-service 5432      # judged after the translation of the Service
web      ->  replica       9000      # the same name, another number
web      -/> replica       5432      # not the number of the other pod
web      -/> store         9000      # no policy has this port for pods of its namespace
job      -/> store         5432      # its label is not listed
job      -/> store         5432  UDP # nor for another protocol
web      -/> store         5432  UDP # a port without a protocol is one of TCP
stranger -/> store         5432      # another namespace
free     -/> store         5432      # a namespace without policies
stranger ->  web           3000      # from everywhere, also from other namespaces
internet ->  web           3000      # and from outside
internet -/> web           80        # not another port
internet -/> store         5432      # outside is not in the list
host     ->  web-service   80        # through a Service, judged after its translation
free     ->  web-service   80        # as above
web      ->  web-service   80        # a pod can't block itself
web      ->  web           9000      # as above, on any port
worker   -/> job           9000      # a policy without rules adds nothing, and the other one is for another namespace
monitor  ->  job           9000      # a selector of namespaces, without one of pods
monitor  ->  store         9000      # an expression: the label does not exist
monitor  -/> replica       9000      # it exists
web      ->  replica       3000  UDP # a protocol without a port: all of its ports
stranger -/> replica       3000  UDP # an expression: in the list
dns      ->  replica       3000  UDP # not in the list, in any namespace
dns      -/> replica       3000      # another protocol
monitor  ->  web           3000      # egress to a named port of its peer
monitor  -/> stranger      3001      # as above, but ingress decides too
monitor  -/> stranger      3000      # another number than the one of its name
monitor  -/> free          3001      # the peer has no port of this name
monitor  -/> internet      3000      # what is not a pod has no named ports
monitor  -/> dns-service   53    UDP # no policy for it
web      ->  dns-service   53    UDP # selectors of namespaces and pods together
web      ->  dns           53        # a second protocol
web      -/> dns           80        # not another port
web      ->  local-dns     53    UDP # a block of one address
web      -/> metadata      53    UDP # not its neighbour
web      ->  internet      443       # a block of all addresses
worker   ->  internet      8085      # a range of ports
worker   -/> internet      9000      # outside of the range
job      -/> internet      443       # not selected
web      -/> metadata      443       # excepted from the block
web      -/> host          443       # a second exception
web      -/> free          443       # a block does not match pods
web      -/> api-service   443       # port 6443 after the translation
job      ->  api-service   443       # to everything on this port, also to the node
job      ->  node          6443      # as above
job      -/> node          443       # the node is not open
job      -/> internet      5432      # as above
host     ->  stranger      3001      # a block
internet -/> stranger      3001      # outside of the block
free     ->  stranger      80        # a namespace in a list of peers
web      -/> stranger      80        # egress: only pods of its own namespace
free     ->  internet      5432      # pods of a namespace without policies are open
free     ->  dns           9000      # as above
internet ->  free          80        # as above
free     ->  node          443       # as above
node     ->  store         9000      # kubelet's probes always work
node     ->  job           80        # as above
node     ->  late          80        # as above, before anything else knows the pod
late     -/> free          80        # not known yet
late     -/> internet      443       # as above
late     -/> node          6443      # as above
free     -/> late          80        # as above
ended    -/> free          80        # its address is not its own any more
free     -/> ended         80        # as above
internet -/> late          80        # as above
"""
    )
)


class Machine:
    """A node with its pods and what is outside: each an agent in a network namespace of its own."""

    def __init__(self, node: Namespaces, stack: ExitStack) -> None:
        self.node = node
        self._stack = stack
        self.agents: dict[str, subprocess.Popen[str]] = {}

    def enforce(self, found: Rules) -> None:
        """Apply rules."""
        self.node.run("nft", "-f", "-", text=table(found, POD_RANGE))

    def answers(self, source: str, targets: list[tuple[str, int, str]]) -> None:
        """Start to connect from an agent to others; `result` returns which of them answered."""
        pipe = self.agents[source].stdin
        assert pipe
        pipe.write(json.dumps([(ADDRESSES[name], port, protocol) for name, port, protocol in targets]) + "\n")
        pipe.flush()

    def result(self, source: str) -> list[bool]:
        """The result of the last `answers`."""
        pipe = self.agents[source].stdout
        assert pipe
        return [outcome == "open" for outcome in json.loads(pipe.readline())]

    def add_agent(self, name: str, *unshare: str) -> subprocess.Popen[str]:
        """Start an agent, by default on the node itself."""
        command = [*unshare, sys.executable, str(pod_networks.AGENT), *map(str, PORTS)]
        agent = self._stack.enter_context(self.node.start(*command))
        self._stack.callback(agent.kill)
        self.agents[name] = agent
        assert agent.stdout
        assert agent.stdout.readline() == "ready\n"  # it is in its own network now
        return agent

    def add(self, name: str, address: str, gateway: str) -> None:
        """Add a machine with an interface of its own, as the CNI plugin `ptp` does."""
        pid = self.add_agent(name, "unshare", "--net").pid
        interface = f"veth-{name}"
        inner = f"nsenter --target={pid} --net ip"
        commands = [
            f"ip link add {interface} type veth peer name eth0 netns {pid}",
            f"ip addr replace {gateway}/32 dev {interface}",
            f"ip link set {interface} up",
            f"{inner} link set lo up",
            f"{inner} addr add {address}/32 dev eth0",
            f"{inner} link set eth0 up",
            f"{inner} route add {gateway} dev eth0",
            f"{inner} route add default via {gateway}",
            f"ip route add {address} dev {interface}",
        ]
        self.node.run("sh", "-ec", "\n".join(commands))


@pytest.fixture(scope="module")
def rules_of_all() -> Rules:
    return rules(OBJECTS, NAMESPACES, POLICIES)


@pytest.fixture(scope="module")
def network(machine: None) -> Iterator[Machine]:
    with ExitStack() as stack:
        node = stack.enter_context(private("net", "mount"))
        made = Machine(node, stack)
        node.run("sh", "-ec", "ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward")
        node.run("ip", "addr", "add", f"{NODE}/32", "dev", "lo")
        made.add_agent("node")
        for name, address in PODS.items():
            made.add(name, address, GATEWAY)
        for name, address in OUTSIDE.items():
            made.add(name, address, NODE)
        translations = "\n".join(
            f"ip daddr {address} {protocol} dport {port} dnat ip to {server}:{target}"
            for address, port, server, target in SERVICES.values()
            for protocol in ("tcp", "udp")
        )
        node.run(
            "nft",
            "-f",
            "-",
            text=f"""table inet services {{
                chain prerouting {{ type nat hook prerouting priority dstnat; {translations}
                }}
                chain postrouting {{ type nat hook postrouting priority srcnat;
                    {"; ".join(f"ip saddr {one} ip daddr {one} masquerade" for one in PODS.values())}
                }}
            }}""",
        )
        yield made


@pytest.fixture
def recorded(network: Machine, tmp_path: Path) -> Iterator[Path]:
    """The file of the connections that are dropped during a test."""
    file = tmp_path / "dropped.jsonl"
    names = {one["status"]["podIP"]: one["metadata"]["name"] for one in OBJECTS}
    code = f"""
from pathlib import Path
from sandbox.node.dropped import Recorder
recorder = Recorder(Path({str(file)!r}), {names!r}, {LOG_GROUP})
recorder.start()
recorder.join()
"""
    with network.node.start(sys.executable, "-c", code) as recorder:
        try:
            eventually(file.exists, "nothing is recorded", within=20)
            yield file
        finally:
            recorder.kill()


def reached(network: Machine, cases: list[Case]) -> list[bool]:
    """Whether each connection of the cases is answered."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        by_source[case.source].append(number)
    for source, numbers in by_source.items():
        network.answers(source, [(cases[one].destination, cases[one].port, cases[one].protocol) for one in numbers])
    found: dict[int, bool] = {}
    for source, numbers in by_source.items():
        found |= dict(zip(numbers, network.result(source), strict=True))
    return [found[number] for number in range(len(cases))]


def test_without_rules_everything_is_reached(network: Machine) -> None:
    """So what is not reached below is refused by the rules."""
    network.node.run("nft", "add", "table", "inet", "network-policies")
    network.node.run("nft", "delete", "table", "inet", "network-policies")
    missing = [case for case, answered in zip(CASES, reached(network, CASES), strict=True) if not answered]
    assert missing == []


def test_connections_are_allowed_and_refused(network: Machine, rules_of_all: Rules, recorded: Path) -> None:
    network.enforce(rules_of_all)
    answered = reached(network, CASES)
    wrong = [case for case, found in zip(CASES, answered, strict=True) if found is not case.allowed]
    assert wrong == []
    refused = {(case.source, case.destination, case.port, case.protocol) for case in CASES if not case.allowed}
    written = {(one.source, one.destination, one.protocol) for one in dropped.read(recorded)}
    names = {address: name for name, address in ADDRESSES.items() if name in PODS or name in OUTSIDE or name == "node"}
    assert {(names.get(source, source), names.get(to, to), protocol) for source, to, protocol in written} >= {
        (source, destination, protocol)
        for source, destination, _, protocol in refused
        if destination not in SERVICES  # those are written with the address of the pod
    }
    assert len(dropped.read(recorded)) == len(refused)  # one line each, although clients try again


def test_the_interpretation_in_unit_tests_is_right(rules_of_all: Rules) -> None:
    for case in CASES:
        if case.source == "node" or case.destination in SERVICES:
            continue
        source, destination = ADDRESSES[case.source], ADDRESSES[case.destination]
        assert allows(rules_of_all, source, destination, case.port, case.protocol) is case.allowed, case
    assert len(CASES) > 60
    assert all(ip_address(address) for address in ADDRESSES.values())


def test_rules_that_nft_refuses_change_nothing(network: Machine, rules_of_all: Rules) -> None:
    network.enforce(rules_of_all)
    before = network.node.run("nft", "list", "ruleset")
    code = f"from sandbox.node.nftables import apply; print(apply({table(rules_of_all, POD_RANGE) + 'wrong'!r}))"
    assert "syntax error" in network.node.python(code)
    assert network.node.run("nft", "list", "ruleset") == before


def test_rules_are_replaced_without_a_gap(network: Machine, rules_of_all: Rules) -> None:
    refused = [
        (case.destination, case.port, case.protocol) for case in CASES if case.source == "web" and not case.allowed
    ]
    allowed = [(case.destination, case.port, case.protocol) for case in CASES if case.source == "web" and case.allowed]
    network.enforce(rules_of_all)
    for _ in range(2):
        network.answers("web", [*allowed, *refused])
        for _ in range(20):
            network.enforce(rules_of_all)
        assert network.result("web") == [True] * len(allowed) + [False] * len(refused)


def test_nothing_is_recorded_that_was_allowed(network: Machine, rules_of_all: Rules, recorded: Path) -> None:
    network.enforce(rules_of_all)
    start = datetime.now(UTC)
    assert all(reached(network, [case for case in CASES if case.allowed]))
    assert dropped.read(recorded, start) == []
