"""Every address that a pod gets can be reached, in every mode of each store and feature, and nothing else is open.

The walk looks at every container's variables (values in Secrets too), commands, scripts and configuration files, and at
every custom resource. Each address is tried against the NetworkPolicies and the rules of the mesh, both ways: the
egress of the pod that has the address, and the ingress of the pod that is addressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from components.application.modules import LISTEN_ON_IPV6
from components.application.outbound import MAIL_PORTS
from components.kubernetes.files import SCRIPTS_PATH
from components.network.ingress.component import ingress_kind
from components.network.mesh_policies import TUNNEL_PORT
from components.network.policies import INTERNET_PORTS, IPV6
from components.schema.environment import STACK, Settings
from components.schema.stores import ExternalPostgres, ExternalRedis
from components.stores.connections import DEFAULT_PORTS
from components.stores.contract import EMPTY_REDIS, MIGRATIONS, REVOKE_KEY, SERVERS
from tests import golden
from tests.sampling import sample
from tests.unit.packets import CNPG_LABEL, Address, Network, Peer, Pod
from tests.unit.program import recorded

STACKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {name: (stack, given) for name, stack, given in golden.stacks()}

WALKED = ["prod", *sample([name for name in STACKS if name != "prod"], "addresses")]

REDIS_CLIENTS = {*SERVERS, MIGRATIONS, EMPTY_REDIS, REVOKE_KEY}

MAIL_URL = "smtp://user:secret@mail.example.org:{port}"
"""The value of the Secret with the mail server, with the configured port or 2525."""

METADATA = (
    *("169.254.169.254", "100.100.100.200", "168.63.129.16"),
    *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"),
    *("fe80::a9fe:a9fe", "64:ff9b::a9fe:a9fe"),  # link-local, and through NAT64
)

FAR = "198.51.100.7"
FAR_IPV6 = "2001:db8::7"

HOST = r"(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<host>[a-zA-Z0-9][a-zA-Z0-9.-]*))"
URL = re.compile(rf"(?P<scheme>[a-z][a-z0-9+]*)://(?:[^\s/@\"'<>]*@)?{HOST}(?::(?P<port>\d+))?")
NODE = re.compile(rf"(?<![\w./:@\[-])(?=[\w.-]*[a-z]|\[|\d+\.){HOST}:(?P<port>\d{{2,5}})(?![\d:])")
XML = re.compile(r"<host(?:name)?>(?P<host>[^<]+)</host(?:name)?>\s*<port>(?P<port>\d+)</port>")
COMMENTS = (
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?m)^\s*(?:#|//).*$"),
    re.compile(r"(?m)\s(?:#|//) .*$"),
)

NOT_CALLED = {
    # by variable: why no pod, or not this one, connects to the address
    r".* CLICKHOUSE_MIGRATION_URL": "only the Job migrates",
    r".* DIRECT_URL": "only the Job migrates",
    r"langfuse-migrations migrate CLICKHOUSE_URL": "required and not used: packages/shared/clickhouse/scripts/up.sh",
    r".* NEXTAUTH_URL": "for links",
    r".* LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT": "for signed links, which are computed",
    r"langfuse-web.* LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT": "for signed links, which are computed",
    r".* AUTH_AUTHENTIK_AUTHORIZATION_URL": "for browsers",
    r".* (HOSTNAME|NO_PROXY)": "not an address that is called",
    r".* TEXT": "text for people",
    r"langfuse-(first-start|clients).* (AUTH_(?!.*_PROXY)|SMTP_|LANGFUSE_S3_).*": "this server serves nobody",
}
CALLED_BY_MIGRATIONS = re.compile(r"langfuse-migrations .* (CLICKHOUSE_MIGRATION_URL|DIRECT_URL)")


@dataclass(frozen=True, order=True)
class Named:
    """An address, and where it is."""

    where: str
    host: str
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.where}: {self.host}:{self.port}/{self.protocol}"


@pytest.fixture(scope="module", params=WALKED, ids=str)
def network(request: pytest.FixtureRequest) -> Network:
    return Network(recorded(*STACKS[request.param]))


def secret(network: Network, name: str, key: str) -> str:
    """The value of a Secret: as it is rendered, or a known one where it is not."""
    for item in network.recording.of("Secret"):
        if item.inputs["metadata"]["name"] == name:
            return str(item.inputs["stringData"][key])
    mail = settings_of(network).mail if "smtp" in key.lower() else None
    return MAIL_URL.format(port=mail.port or 2525) if mail else "secret"


def variables(network: Network, container: Mapping[str, Any]) -> dict[str, str]:
    """The values of a container's variables, with `$(NAME)` expanded as the kubelet does."""
    found: dict[str, str] = {}
    for one in container.get("env", []):
        value = one.get("value", "")
        if reference := one.get("valueFrom", {}).get("secretKeyRef"):
            value = secret(network, reference["name"], reference["key"])
        found[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), value)
    return found


def files(network: Network, pod: Pod, container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files of the ConfigMaps that a container mounts, without their comments."""
    volumes = {volume["name"]: volume for volume in pod.volumes}
    for mount in container.get("volumeMounts", []):
        volume = volumes.get(mount["name"], {})
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        names = {source["configMap"]["name"] for source in sources if "configMap" in source}
        for item in network.recording.of("ConfigMap"):
            if item.inputs["metadata"]["name"] in names:
                for key, text in item.inputs["data"].items():
                    for comments in COMMENTS:
                        text = comments.sub("", text)  # noqa: PLW2901  # of all kinds
                    yield f"{item.stable_name}/{key}", text


def addresses_in(text: str) -> Iterator[tuple[str, int]]:
    """Host and port of every address in a text."""
    for match in URL.finditer(text):
        port = match["port"] or DEFAULT_PORTS.get(match["scheme"])
        if port:
            yield match["literal"] or match["host"], int(port)
    rest = URL.sub("", text)
    for pattern in (NODE, XML):
        for match in pattern.finditer(rest):
            yield match["host"] or match["literal"], int(match["port"])


def paired(values: Mapping[str, str]) -> Iterator[tuple[str, str, int, str]]:
    """Hosts whose port is in another variable: the variable, host, port, protocol."""
    for name, value in values.items():
        port = values.get(f"{name.removesuffix('HOST')}PORT", "")
        if name.endswith("HOST") and port.isdigit():
            yield name, value, int(port), "UDP" if name == "DD_DOGSTATSD_HOST" else "TCP"
    for host in values.get("REPLICAS", "").split():
        yield "REPLICAS", host, int(values["CLICKHOUSE_PORT"]), "TCP"
    if agent := values.get("DD_AGENT_HOST"):
        yield "DD_AGENT_HOST", agent, 8125, "UDP"
        yield "DD_AGENT_HOST", agent, 8126, "TCP"


def of_pod(network: Network, pod: Pod) -> list[Named]:
    """Every address in a pod, except those that are not called."""
    return _of_pod(network, pod.name)


@cache
def _of_pod(network: Network, name: str) -> list[Named]:
    return list(_addresses(network, network.pods[name]))


def _addresses(network: Network, pod: Pod) -> Iterator[Named]:
    for container in pod.containers:
        where = f"{pod.name} {container['name']}"
        values = variables(network, container)
        for name, value in values.items():
            place = f"{where} {name}"
            exempt = any(re.fullmatch(pattern, place) for pattern in NOT_CALLED)
            if exempt and not CALLED_BY_MIGRATIONS.fullmatch(place):
                continue
            yield from (Named(place, host, port) for host, port in addresses_in(value))
        for name, host, port, protocol in paired(values):
            if "$(" not in host:
                yield Named(f"{where} {name}", host, port, protocol)
        for name, text in files(network, pod, container):
            yield from (Named(f"{where} {name}", host, port) for host, port in addresses_in(text))
        for text in [*container.get("command", []), *container.get("args", [])]:
            yield from (Named(f"{where} command", host, port) for host, port in addresses_in(expanded(text)))


def expanded(text: str) -> str:
    """A range of MinIO's servers, as its last one."""
    return re.sub(r"\{\d+\.\.\.(\d+)\}", r"\1", text)


def texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a resource, with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, path)
    elif isinstance(value, str):
        yield path, value


def test_no_server_listens_at_ipv4_addresses_alone(network: Network) -> None:
    """In a cluster with IPv6, neither the kubelet nor other pods would reach it."""
    for pod in network.pods.values():
        for container in pod.containers:
            values = variables(network, container)
            texts = {**values, **dict(files(network, pod, container))}
            texts["command"] = " ".join([*container.get("command", []), *container.get("args", [])])
            for name, text in texts.items():
                # A module makes it all addresses of both versions.
                is_node = name == "HOSTNAME" and LISTEN_ON_IPV6 in values.get("NODE_OPTIONS", "")
                ipv4_only = re.search(r"(?<!\d)0\.0\.0\.0", text) and "::" not in text
                assert not ipv4_only or is_node, (pod.name, name)


def of_custom_resources(network: Network) -> Iterator[tuple[Peer, Named]]:
    """Every address in custom resources, with the pods that connect to it."""
    members = [pod for pod in network.pods.values() if CNPG_LABEL in pod.labels]
    clients: Mapping[str, list[Pod]] = {
        "ObjectStore": members,
        "PodMonitor": [pod for pod in network.pods.values() if pod.name == "langfuse-metrics"],
        "Cluster": members,
        "VirtualService": gateways(network),
        "RequestAuthentication": [],  # istiod, which is not in the namespace
        "AuthorizationPolicy": [],  # names the issuer of a token
        "PrometheusRule": [],  # links to runbooks, for people
    }
    for item in network.recording:
        if not item.custom or "spec" not in item.inputs or item.inputs.get("apiVersion", "").count(".") < 2:
            continue
        spec, where = item.inputs["spec"], f"{item.kind} {item.name}"
        found = [Named(where + path, host, port) for path, text in texts(spec) for host, port in addresses_in(text)]
        for route in spec.get("http", []):
            for one in route.get("route", []):
                destination = one["destination"]
                found.append(Named(where, destination["host"], destination["port"]["number"]))
        assert not found or item.kind in clients, f"{where} has an address, and the test does not know who connects"
        yield from ((client, named) for named in found for client in clients[item.kind])


def gateways(network: Network) -> list[Pod]:
    """The pods of the gateway, and of SDK clients."""
    settings = settings_of(network)
    entrance = ingress_kind(settings).entrance()
    found = [Pod("client", {"app": "client"}, namespace=name) for name in settings.network.web_clients]
    if entrance and entrance.namespace:
        found.append(Pod("gateway", {"app": "gateway", **entrance.labels}, namespace=entrance.namespace))
    return found


def settings_of(network: Network) -> Settings:
    """The settings of the stack."""
    return Settings.model_validate({**network.recording.one("Langfuse").inputs, STACK: "recorded"})


def peers(network: Network, named: Named) -> list[tuple[Peer, int]]:
    """The peers behind a name: pods of the stack, pods of another namespace at any port, or addresses outside."""
    host = named.host
    own = network.servers(host, named.port)
    if own is not None:
        assert own, f"{named}: no pod has this name"
        return [*own]
    if match := re.fullmatch(r"(?:.*\.)?(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(\..+)?", host):
        # The port of the pods may be another one than that of the Service.
        other = Pod(match["name"], {"app": match["name"]}, namespace=match["namespace"])
        return [(other, named.port), (other, 10_000 + named.port % 10_000)]
    if re.fullmatch(r"[0-9.]+|.*:.*", host):
        return [(Address(host), named.port)]
    behind = Pod(host, {"app": "any"}, namespace="anywhere")
    tunnel = [(behind, TUNNEL_PORT)] if network.is_ambient and named.port not in INTERNET_PORTS else []
    return [(Address(FAR), named.port), (Address(FAR_IPV6), named.port), (behind, named.port), *tunnel]


def is_itself(network: Network, pod: Pod, host: str) -> bool:
    """Whether an address is that of the pod itself, or what it listens at."""
    return host in {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104


def refused(network: Network, client: Peer, named: Named) -> list[str]:
    """Why an address can't be reached."""
    if isinstance(client, Pod) and is_itself(network, client, named.host):
        return []
    problems = []
    for server, port in peers(network, named):
        only_public = isinstance(server, Pod) and server.name == named.host and port in INTERNET_PORTS
        if only_public and named.port in INTERNET_PORTS and network.refusal(client, Address(FAR), port) is None:
            continue  # a name on the internet, by `network.internet`
        if why := network.refusal(client, server, port, named.protocol):
            problems.append(f"{named} -> {server} at {port}: {why}")
        if isinstance(server, Pod) and server.ports and port not in server.ports:
            problems.append(f"{named} -> {server}: does not listen at {port}, only at {sorted(server.ports)}")
    return problems


def test_every_address_of_a_container_can_be_reached(network: Network) -> None:
    found = [(pod, named) for pod in network.pods.values() for named in sorted(set(of_pod(network, pod)))]
    assert len(found) > 20
    assert [problem for pod, named in found for problem in refused(network, pod, named)] == []


def test_every_address_of_a_custom_resource_can_be_reached(network: Network) -> None:
    found = list(of_custom_resources(network))
    kinds = {item.kind for item in network.recording if item.custom}
    assert bool(found) == bool(kinds & {"VirtualService", "ObjectStore", "PodMonitor"})
    assert [problem for client, named in found for problem in refused(network, client, named)] == []


def of_targets(network: Network) -> Iterator[tuple[Named, list[tuple[Peer, int]]]]:
    """What users may make Langfuse call, with the pods or addresses behind it."""
    for use, targets in settings_of(network).allowed_targets:
        pods: list[tuple[Peer, int]] = [
            (Pod("target", one.labels, namespace=one.namespace), one.port) for one in targets.pods
        ]
        listed = {one.namespace for one in targets.pods}
        for port in targets.ports or [443]:
            for host in [*targets.hosts, *targets.ips, *(one.split("/")[0] for one in targets.ranges)]:
                named = Named(f"allowedTargets.{use}", host, port)
                in_listed = any(f".{namespace}.svc" in host for namespace in listed)
                yield named, pods if in_listed else peers(network, named)


def test_every_allowed_target_can_be_reached(network: Network) -> None:
    for named, behind in of_targets(network):
        for server, port in behind:
            for client in ("langfuse-web", "langfuse-worker"):
                assert network.refusal(network.pods[client], server, port) is None, (named, server, port)


@pytest.mark.parametrize("address", ["169.254.170.23", "fd00:ec2::23"])
def test_pods_with_an_identity_get_its_keys(network: Network, address: str) -> None:
    accounts = {
        item.name for item in network.recording.of("ServiceAccount") if item.inputs["metadata"].get("annotations")
    }
    by_identity = getattr(settings_of(network).object_store, "identity", "keys") == "workload"
    for pod in network.pods.values():
        allowed = network.refusal(pod, Address(address), 80) is None
        member = CNPG_LABEL in pod.labels  # the operator creates their service account
        assert allowed == (by_identity and (pod.account in accounts or member)), pod.name


@pytest.mark.parametrize("stack", ["ways-out-by-configuration", "CloudNativePG-S3", "everything-outside", "prod"])
def test_the_walk_notices_when_any_rule_is_missing(stack: str) -> None:
    """Except rules for what no address names: the internet, DNS, and what `network.egress` adds."""
    unnamed = {"langfuse-default-deny", "langfuse-allow-internet-egress", "langfuse-allow-dns-egress"}
    unnamed |= {"langfuse-allow-probes-ingress"}
    unnamed |= {"langfuse-allow-namespace-egress"} if stack == "everything-outside" else set()
    recording = recorded(*STACKS[stack])
    complete = Network(recording)
    for left_out in {item.name for item in recording.of("NetworkPolicy")} - unnamed:
        if left_out.startswith("langfuse-egress-") or left_out.endswith(IPV6):
            continue
        network = Network(recording)
        del network.policies[left_out]
        found: list[tuple[Peer, Named]] = [
            (pod, named) for pod in network.pods.values() for named in {*of_pod(complete, pod)}
        ]
        found += of_custom_resources(network)
        clients = [network.pods["langfuse-web"], network.pods["langfuse-worker"]]
        targets = [(one, *behind) for _, servers in of_targets(network) for behind in servers for one in clients]
        noticed = any(refused(network, *one) for one in found) or any(network.refusal(*one) for one in targets)
        assert noticed, f"nothing that has an address needs {left_out}"


def test_every_name_of_the_stack_has_a_port(network: Network) -> None:
    """A name without a port could not be tried. The exceptions are names of pods and objects, not addresses."""
    for pod in network.pods.values():
        known = {named.host for named in of_pod(network, pod)}
        for container in pod.containers:
            for name, value in variables(network, container).items():
                place = f"{pod.name} {container['name']} {name}"
                if any(re.fullmatch(pattern, place) for pattern in NOT_CALLED) or name == "_MINIO_SERVER_LOCAL":
                    continue
                for word in re.split(r"[\s,]+", value):
                    assert word not in network.services or word in known, f"{place}: {word} has no port"


def named_ports(network: Network, pod: Pod) -> set[int]:
    """The ports of the addresses outside that the configuration names for a pod."""
    settings = settings_of(network)
    found = {named.port for named in of_pod(network, pod)}
    if pod.name == "langfuse-metrics":
        found |= {named.port for client, named in of_custom_resources(network) if client == pod}
    role = pod.labels.get("app.kubernetes.io/name")
    if role in {"web", "worker"} or str(role).startswith(("web-", "worker-")):
        found |= {*INTERNET_PORTS} | ({*MAIL_PORTS} if settings.mail and not settings.mail.port else set())
        for _, use in settings.allowed_targets:
            found |= {80, *use.ports, *(pods.port for pods in use.pods)}
    redis = settings.redis
    if isinstance(redis, ExternalRedis) and redis.topology == "sentinel" and role in REDIS_CLIENTS:
        found.add(redis.port)
    postgres = settings.postgres
    if isinstance(postgres, ExternalPostgres) and found & {postgres.port, postgres.direct_port}:
        found |= {postgres.port, postgres.direct_port or postgres.port}  # clients may use the server and its pooler
    if CNPG_LABEL in pod.labels:
        found |= {*settings.cluster.api_server.ports}
        found |= {named.port for client, named in of_custom_resources(network) if client == pod}
    for rule in settings.network.egress:
        found |= {*rule.ports} if role in rule.workloads else set()
    return found


def test_no_port_is_open_that_no_address_has(network: Network) -> None:
    rules = [rule for spec in network.policies.values() for rule in spec.get("egress", [])]
    ports = {port["port"] for rule in rules for port in rule.get("ports", [])}
    wrong = {
        pod.name: sorted(open_ports - named_ports(network, pod))
        for pod in network.pods.values()
        if (open_ports := {port for port in ports if network.refusal(pod, Address(FAR), port) is None})
        - named_ports(network, pod)
    }
    assert wrong == {}


def test_no_pod_can_reach_a_metadata_service(network: Network) -> None:
    for pod in network.pods.values():
        for port in {80, *named_ports(network, pod)}:
            for address in METADATA:
                assert network.refusal(pod, Address(address), port), (pod.name, address, port)


def test_the_walk_finds_addresses_in_every_place() -> None:
    """Otherwise the tests above would hold for nothing."""
    stack = Network(recorded("prod"))
    found = {named.where.split(" ", 1)[0]: set[str]() for pod in stack.pods.values() for named in of_pod(stack, pod)}
    for pod in stack.pods.values():
        for named in of_pod(stack, pod):
            found[named.where.split(" ", 1)[0]].add(named.where.rsplit(" ", 1)[1])
    assert "langfuse-clickhouse-config/cluster.xml" in found["langfuse-clickhouse"]
    assert "REPLICAS" in found["langfuse-clickhouse"]
    assert "langfuse-keeper-quorum/cluster.xml" in found["langfuse-keeper"]
    assert "command" in found["langfuse-object-store-cluster"]
    assert {"DATABASE_URL", "CLICKHOUSE_URL", "REDIS_SENTINEL_NODES"} <= found["langfuse-web"]
    assert {"PGHOST", "STORE_URL"} <= found["langfuse-backup-postgres"]
    assert {"DIRECT_URL", "CLICKHOUSE_MIGRATION_URL"} <= found["langfuse-migrations"]
    assert SCRIPTS_PATH  # scripts hold no addresses of their own: they get them in variables
