"""Volumes and NetworkPolicies on the real node, as pods meet them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pytest

from sandbox.controlplane import Sandbox
from sandbox.node import dropped
from sandbox.node.box import Box
from tests.engine.view import View
from tests.node.test_node import IMAGE
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.whole, pytest.mark.timeout(900)]

NAMESPACE: Final = "services"
PORT: Final = 6379
REACTION_SECONDS: Final = 1.0

Json = dict[str, Any]


def pod(name: str, script: str, **spec: object) -> Json:
    """A pod that runs a script of the shell bash, with the label `app: NAME`."""
    container = {"name": "main", "image": IMAGE, "command": ["bash", "-euc", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [container | {key: spec.pop(key) for key in ("volumeMounts", "ports") if key in spec}],
            **spec,
        },
    }


def policy(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


def claim(name: str, size: str, storage_class: str = "standard") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }


class Cluster:
    """The namespace of a test."""

    def __init__(self, node: Sandbox) -> None:
        self.node = node
        self.view = View(node, NAMESPACE)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return self.view.kubectl("--namespace", NAMESPACE, *words, stdin=stdin).ok().stdout

    def apply(self, *objects: Json) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(items))

    def wait(self, name: str, condition: str) -> None:
        self.kubectl("wait", f"--for={condition}", f"pod/{name}", "--timeout=50s")

    def run(self, name: str, script: str) -> str:
        return self.kubectl("exec", name, "--", "bash", "-c", script)

    def containers(self) -> dict[str, str]:
        """The ids of the running containers by pod; empty for a container that does not run."""
        return {
            item["metadata"]["name"]: status["containerID"] if "running" in status["state"] else ""
            for item in json.loads(self.kubectl("get", "pods", "--output=json"))["items"]
            for status in item["status"].get("containerStatuses", ())
        }

    def dropped(self, since: datetime | None = None) -> list[dropped.Dropped]:
        """The refused connections of pods of the namespace."""
        found = dropped.read(dropped.path(self.node.folder.path), since)
        return [one for one in found if NAMESPACE in (one.source.split("/")[0], one.destination.split("/")[0])]


@pytest.fixture(scope="module")
def cluster(node: Sandbox) -> Iterator[Cluster]:
    """A namespace with a server that answers at a Service, and a client."""
    made = Cluster(node)
    node_namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    made.view.kubectl("apply", "--filename=-", stdin=json.dumps(node_namespace)).ok()
    server = pod("server", f"exec valkey-server --port {PORT} --save '' --protected-mode no --dir /tmp")
    server["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": PORT}]},
    }
    made.apply(server, service, pod("client", "exec sleep infinity"))
    made.wait("server", "condition=Ready")
    made.wait("client", "condition=Ready")
    yield made
    made.view.delete()


def test_the_first_connection_of_a_pod_is_answered_at_once(cluster: Cluster) -> None:
    script = f"""
        first=$EPOCHREALTIME
        getent hosts server.{NAMESPACE}.svc.cluster.local
        valkey-cli -h server ping
        last=$EPOCHREALTIME
        echo $(( (${{last/./}} - ${{first/./}}) / 1000 ))
    """
    cluster.apply(pod("first", script, restartPolicy="Never"))
    cluster.wait("first", "jsonpath={.status.phase}=Succeeded")
    *_, pong, milliseconds = cluster.kubectl("logs", "first").split()
    assert pong == "PONG"
    assert int(milliseconds) < 900  # a client whose first packet is dropped sends it again after a second
    assert not [one for one in cluster.dropped() if one.source == f"{NAMESPACE}/first"]


def test_policies_take_effect_at_once(cluster: Cluster) -> None:
    loop = f"""
        for number in $(seq 200)
        do
            if timeout 0.2 bash -c '< /dev/tcp/server/{PORT}' 2>&-; then echo $EPOCHREALTIME open
            else echo $EPOCHREALTIME refused; fi
            sleep 0.05
        done
    """
    cluster.apply(pod("loop", loop, restartPolicy="Never"))
    cluster.wait("loop", "condition=Ready")
    time.sleep(1)
    start = datetime.now(UTC)
    cluster.apply(policy("deny", policyTypes=["Ingress"]))
    applied = time.time()
    time.sleep(3)
    cluster.kubectl("delete", "networkpolicy", "deny")
    deleted = time.time()
    time.sleep(3)
    lines = [line.split() for line in cluster.kubectl("logs", "loop").splitlines()]
    results = [(float(when), result) for when, result in lines]
    cluster.kubectl("delete", "pod", "loop", "--wait=false")
    assert {result for when, result in results if when < start.timestamp()} == {"open"}
    within = [result for when, result in results if applied + REACTION_SECONDS < when < deleted - 0.5]
    assert within
    assert set(within) == {"refused"}
    after = [result for when, result in results if when > deleted + REACTION_SECONDS]
    assert after
    assert set(after) == {"open"}
    (client,) = {(one.source, one.destination, one.port, one.reason) for one in cluster.dropped(start)}
    assert client == (f"{NAMESPACE}/loop", f"{NAMESPACE}/server", PORT, "ingress policies")


def test_probes_of_an_isolated_pod_work_and_it_reaches_itself(cluster: Cluster) -> None:
    cluster.apply(policy("isolate", policyTypes=["Ingress", "Egress"]))
    try:
        probe = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
        isolated = pod("isolated", f"exec valkey-server --port {PORT} --save '' --protected-mode no --dir /tmp")
        isolated["spec"]["containers"][0]["readinessProbe"] = probe
        isolated["metadata"]["labels"]["role"] = "self"
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "isolated"},
            "spec": {"selector": {"role": "self"}, "ports": [{"port": PORT}]},
        }
        cluster.apply(service, isolated)
        cluster.wait("isolated", "condition=Ready")
        address = cluster.kubectl("get", "service", "isolated", "--output=jsonpath={.spec.clusterIP}")
        ping = f"valkey-cli -h {address} ping 2>&-"  # kube-proxy learns of the pod when it is ready
        assert cluster.run("isolated", f"timeout 20 bash -c 'until {ping}; do sleep 0.1; done'").strip() == "PONG"
        refused = cluster.run("isolated", "timeout 1 bash -c '< /dev/tcp/10.96.0.1/443' 2>&- || echo refused")
        assert refused.strip() == "refused"
    finally:
        cluster.kubectl("delete", "networkpolicy", "isolate")


def volume_of(cluster: Cluster, name: str) -> Json:
    bound = cluster.kubectl("get", "pvc", name, "--output=jsonpath={.spec.volumeName}")
    found: Json = json.loads(cluster.kubectl("get", "pv", bound, "--output=json"))
    return found


def user(name: str, claim_name: str) -> Json:
    """A pod without privileges that can write to a volume because of its group."""
    return pod(
        name,
        "exec sleep infinity",
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
        securityContext={"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999, "fsGroupChangePolicy": "OnRootMismatch"},
    )


def test_a_claim_is_expanded(cluster: Cluster) -> None:
    cluster.apply(claim("data", "64Mi"), user("writer", "data"))
    cluster.wait("writer", "condition=Ready")
    cluster.run("writer", "echo kept > /data/file")
    before = int(cluster.run("writer", "df --output=size -m /data | tail -1"))
    assert before <= 64
    cluster.apply(claim("data", "256Mi"))
    cluster.kubectl("delete", "pod", "writer")  # without CAP_SYS_RESOURCE, it is expanded now
    cluster.apply(user("writer", "data"))
    cluster.wait("writer", "condition=Ready")
    capacity = "jsonpath={.status.capacity.storage}=256Mi"
    cluster.kubectl("wait", f"--for={capacity}", "pvc/data", "--timeout=30s")
    assert volume_of(cluster, "data")["spec"]["capacity"]["storage"] == "256Mi"
    assert 200 < int(cluster.run("writer", "df --output=size -m /data | tail -1")) <= 256
    assert cluster.run("writer", "cat /data/file").strip() == "kept"


def test_a_volume_is_deleted_or_retained_as_its_class_says(cluster: Cluster) -> None:
    retain = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "retained"},
        "provisioner": "volumes.sandbox.local",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    cluster.apply(
        retain, claim("gone", "64Mi"), claim("stays", "64Mi", "retained"), user("one", "gone"), user("two", "stays")
    )
    cluster.wait("one", "condition=Ready")
    cluster.wait("two", "condition=Ready")
    gone, stays = volume_of(cluster, "gone"), volume_of(cluster, "stays")
    cluster.kubectl("delete", "pod/one", "pod/two", "pvc/gone", "pvc/stays")
    files = cluster.node.folder.path / "node" / "volumes" / "files"
    eventually(lambda: not (files / f"{gone['metadata']['name']}.img").exists(), "it is not deleted", within=20)
    cluster.kubectl("wait", "--for=delete", f"pv/{gone['metadata']['name']}", "--timeout=20s")
    assert cluster.kubectl("get", "pv", stays["metadata"]["name"], "--output=jsonpath={.status.phase}") == "Released"
    assert (files / f"{stays['metadata']['name']}.img").exists()


def test_after_a_power_cut_pods_have_their_volumes_and_policies(cluster: Cluster) -> None:
    """The last test of this file, because it ends the node."""
    only = {"podSelector": {"matchLabels": {"app": "client"}}}
    rule = policy("only-client", policyTypes=["Ingress"], ingress=[{"from": [only]}])
    cluster.apply(claim("kept", "64Mi"), user("keeper", "kept"), rule)
    cluster.wait("keeper", "condition=Ready")
    cluster.run("keeper", "echo kept > /data/file; sync")
    before = cluster.containers()
    start = datetime.now(UTC)

    first = Box(cluster.node.folder).first_process()
    first.send_signal(signal.SIGKILL)
    eventually(lambda: not first.is_running(), within=20)
    cluster.node.up()

    def is_restarted(name: str) -> bool:
        return cluster.containers()[name] not in ("", before[name])

    for name in ("keeper", "client", "server"):
        eventually(partial(is_restarted, name), f"{name} is not restarted")
        cluster.wait(name, "condition=Ready")
    assert cluster.run("keeper", "cat /data/file; ls -d /data/lost+found").split() == ["kept", "/data/lost+found"]
    ping = "timeout 3 valkey-cli -h server ping || echo refused"
    assert cluster.run("client", ping).strip() == "PONG"
    assert cluster.run("keeper", ping).strip() == "refused"
    (refused,) = {(one.source, one.destination, one.reason) for one in cluster.dropped(start)}
    assert refused == (f"{NAMESPACE}/keeper", f"{NAMESPACE}/server", "ingress policies")
