"""The real node: it starts, runs pods, and leaves nothing behind when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
import pytest

from sandbox.controlplane import Sandbox
from sandbox.folder import Kind
from sandbox.node import cgroups, init
from sandbox.node.box import Box
from tests.engine.view import View
from tests.node.containers import Containers
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(900)]

MEMORY_BYTES: Final = 1200 * 2**20
IMAGE: Final = "docker.io/valkey/valkey:8.1.10"

POD: Final = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shell"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 999,
            "fsGroup": 999,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "shell",
                "image": IMAGE,
                "command": ["sleep", "infinity"],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
CLAIM: Final = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
}


def host(sandbox: Sandbox) -> Mapping[str, object]:
    """What a node could change on the host. Other sandboxes may run: of what nodes own, only its own is listed."""

    def printed(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    network = Box(sandbox.folder).network

    def is_own(text: str) -> bool:
        return "lfnode" not in text or (
            network is not None and re.search(rf"lfnode{network.number}\b", text) is not None
        )

    settings = [*init.KERNEL_SETTINGS, "net/ipv4/ip_forward"]
    return {
        "rules": printed("nft", "list", "ruleset"),
        "interfaces": [item["ifname"] for item in json.loads(printed("ip", "-json", "link")) if is_own(item["ifname"])],
        "routes": [line for line in printed("ip", "route").splitlines() if is_own(line)],
        "settings": {name: (Path("/proc/sys") / name).read_text() for name in settings},
        "mounts": [  # tests/node/writes.py mounts tracefs meanwhile
            line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] != "tracefs"
        ],
        "folders": {folder: sorted(os.listdir(folder)) for folder in init.PRIVATE},
        "loop devices": [
            line
            for line in printed("losetup", "--list", "--noheadings", "--output", "BACK-FILE").splitlines()
            if str(sandbox.folder.path) in line
        ],
        "groups": sorted(str(path) for path in cgroups.ROOT.glob("*/lfnode*/") if is_own(path.name)),
    }


def memory(first: psutil.Process) -> int:
    """The memory of a process and all its descendants, shared pages in proportion, in bytes."""
    found = [first, *first.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in found)


@pytest.fixture
def pod(node: Sandbox) -> View:
    """A restricted pod on a volume."""
    view = View(node, "pods")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pods", "labels": labels}}
    for manifest in (namespace, CLAIM, POD):
        view.kubectl("apply", "--namespace", "pods", "--filename=-", stdin=json.dumps(manifest)).ok()
    view.kubectl("wait", "--namespace", "pods", "--for=condition=Ready", "pod/shell", "--timeout=60s").ok()
    return view


def test_the_memory_without_pods_is_below_the_limit(node: Sandbox) -> None:
    assert memory(Box(node.folder).first_process()) < MEMORY_BYTES


def test_a_restricted_pod_runs_and_its_volume_outlives_it(pod: View) -> None:
    def run(script: str) -> str:
        return pod.kubectl("exec", "--namespace", "pods", "shell", "--", "sh", "-c", script).ok().stdout

    assert run("id -u; cat /proc/self/status | grep -E 'CapEff|NoNewPrivs|^Seccomp:'").split() == [
        *("999", "CapEff:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2")
    ]
    assert "lost+found" in run("ls /data")
    run("echo kept > /data/file; ! echo x > /file")
    pod.kubectl("delete", "--namespace", "pods", "pod/shell").ok()
    pod.kubectl("apply", "--namespace", "pods", "--filename=-", stdin=json.dumps(POD)).ok()
    pod.kubectl("wait", "--namespace", "pods", "--for=condition=Ready", "pod/shell", "--timeout=60s").ok()
    assert run("cat /data/file") == "kept\n"


def test_pods_resolve_names_and_reach_services(pod: View) -> None:
    script = "getent hosts kubernetes.default.svc.cluster.local && getent hosts kube-dns.kube-system"
    answered = pod.kubectl("exec", "--namespace", "pods", "shell", "--", "sh", "-c", script).ok().stdout
    assert "10.96.0.1 " in answered
    assert "10.96.0.10 " in answered


def test_a_killed_kubelet_is_reported_and_started_again(node: Sandbox, pod: View) -> None:
    before = pod.get("pod", "shell")["metadata"]["uid"]
    Containers(node).kill_kubelet()
    eventually(lambda: node.status().state == "degraded", within=10)
    node.up()
    assert node.status().state == "running"
    pod.kubectl("wait", "--namespace", "pods", "--for=condition=Ready", "pod/shell", "--timeout=60s").ok()
    assert pod.get("pod", "shell")["metadata"]["uid"] == before


@pytest.mark.long
def test_when_process_1_ends_nothing_is_left_and_the_state_can_be_started_again(machine: None, tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "sandbox")
    before = host(sandbox)
    try:
        sandbox.up(Kind.REAL)
        first = Box(sandbox.folder).first_process()
        descendants = first.children(recursive=True)
        assert len(descendants) > len(sandbox.status().processes)
        assert host(sandbox) != before  # its interface

        first.send_signal(signal.SIGKILL)

        eventually(lambda: not any(process.is_running() for process in descendants), within=20)
        eventually(lambda: not sandbox.status().ready, within=20)
        sandbox.up()
        assert sandbox.status().state == "running"
        sandbox.down()
        with contextlib.suppress(AssertionError):
            eventually(lambda: host(sandbox) == before, within=10)
        assert host(sandbox) == before
    finally:
        sandbox.reset()
