"""The control plane of the sandbox: start, repair, persistence and the behaviour of a cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import manifests, services
from sandbox.cluster import STORAGE_CLASS, ZONES
from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT
from sandbox.plugins.install import MARKER
from sandbox.processes import State
from sandbox.storage import ZONE
from tests.waiting import eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

START_CPU_SECONDS = 30  # 15 s on two cores; elapsed time depends on the load of the machine
MEMORY_BYTES = 2**30

Json = dict[str, Any]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox") / "a folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(services.MEMORY_LIMIT_VARIABLE, raising=False)
        try:
            sandbox.up()
            yield sandbox
        finally:
            sandbox.reset()


def kubectl(sandbox: Sandbox, *words: str, bodies: Sequence[Json] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sandbox.folder.bin / "kubectl", *words],
        env={**os.environ, **sandbox.environment()},
        input="\n---\n".join(json.dumps(body) for body in bodies),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def get(sandbox: Sandbox, *words: str) -> Json:
    result = kubectl(sandbox, "get", "-o", "json", *words)
    assert result.returncode == 0, result.stderr
    found: Json = json.loads(result.stdout)
    return found


def apply(sandbox: Sandbox, *objects: Json) -> None:
    result = kubectl(sandbox, "apply", "--server-side", "-f", "-", bodies=objects)
    assert result.returncode == 0, result.stderr


def named(kind: str, version: str, name: str, spec: Json | None = None, **metadata: object) -> Json:
    found: Json = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}}
    return found | ({"spec": spec} if spec else {})


def pod_spec(**more: object) -> Json:
    return {"containers": [{"name": "main", "image": "example/image:1"}], **more}


@pytest.fixture
def namespace(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[str]:
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name)[:50].strip("-")
    apply(sandbox, named("Namespace", "v1", name))
    eventually(lambda: kubectl(sandbox, "get", "-n", name, "serviceaccount", "default").returncode == 0)
    yield name
    kubectl(sandbox, "delete", "namespace", name, "--wait=false")


@pytest.mark.long
def test_the_start_takes_little_cpu_time(sandbox: Sandbox) -> None:
    times = [psutil.Process(report.pid).cpu_times() for report in sandbox.status().processes]
    assert sum(spent.user + spent.system for spent in times) < START_CPU_SECONDS


def test_the_schema_is_ready_when_up_returns(sandbox: Sandbox) -> None:
    """The API server builds the schema at the first request, and reports when that was."""
    installed_last = max(file.stat().st_mtime for file in sandbox.folder.pulumi_home.glob(f"plugins/*/{MARKER}"))
    time.sleep(1.1)
    printed = kubectl(sandbox, "get", "--raw", "/openapi/v2", "-v=8").stderr
    (made,) = re.findall(r"Last-Modified: (.*)", printed)
    assert parsedate_to_datetime(made).timestamp() <= installed_last


def test_nodes_of_three_zones_are_ready(sandbox: Sandbox) -> None:
    nodes = get(sandbox, "nodes")["items"]
    assert {node["metadata"]["labels"][ZONE] for node in nodes} == set(ZONES)
    for node in nodes:
        conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"


def test_custom_resources_of_other_projects_can_be_created(sandbox: Sandbox, namespace: str) -> None:
    apply(
        sandbox,
        named("VirtualService", "networking.istio.io/v1", "one", {"hosts": ["a.example"]}, namespace=namespace),
        named(
            "ScaledObject",
            "keda.sh/v1alpha1",
            "one",
            {"scaleTargetRef": {"name": "x"}, "triggers": [{"type": "cpu", "metadata": {"value": "50"}}]},
            namespace=namespace,
        ),
        named(
            "ServiceMonitor", "monitoring.coreos.com/v1", "one", {"selector": {}, "endpoints": []}, namespace=namespace
        ),
        named(
            "Certificate",
            "cert-manager.io/v1",
            "one",
            {"secretName": "x", "dnsNames": ["a.example"], "issuerRef": {"name": "x"}},
            namespace=namespace,
        ),
        named(
            "HTTPRoute",
            "gateway.networking.k8s.io/v1",
            "one",
            {"parentRefs": [{"name": "x"}], "hostnames": ["a.example"]},
            namespace=namespace,
        ),
        named("Middleware", "traefik.io/v1alpha1", "one", {"compress": {}}, namespace=namespace),
        named(
            "ExternalSecret",
            "external-secrets.io/v1",
            "one",
            {"secretStoreRef": {"name": "x"}, "target": {"name": "x"}, "dataFrom": [{"extract": {"key": "x"}}]},
            namespace=namespace,
        ),
    )
    refused = kubectl(
        sandbox,
        "apply",
        "-f",
        "-",
        bodies=[named("VirtualService", "networking.istio.io/v1", "two", {"hosts": "not a list"}, namespace=namespace)],
    )
    assert refused.returncode != 0
    assert "spec.hosts" in refused.stderr


def test_deployment_becomes_available_and_job_completes(sandbox: Sandbox, namespace: str) -> None:
    labels = {"app": "one"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    deployment = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    job = {"template": {"spec": pod_spec(restartPolicy="Never")}}
    apply(
        sandbox,
        named("Deployment", "apps/v1", "one", deployment, namespace=namespace),
        named("Job", "batch/v1", "one", job, namespace=namespace),
    )
    waited = kubectl(sandbox, "wait", "-n", namespace, "--for=condition=Available", "deployment/one", "--timeout=45s")
    assert waited.returncode == 0, waited.stderr
    waited = kubectl(sandbox, "wait", "-n", namespace, "--for=condition=Complete", "job/one", "--timeout=45s")
    assert waited.returncode == 0, waited.stderr


def test_a_claim_waits_for_its_pod_and_can_grow_and_be_deleted(sandbox: Sandbox, namespace: str) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    apply(sandbox, named("PersistentVolumeClaim", "v1", "data", claim, namespace=namespace))
    time.sleep(2)
    waiting = get(sandbox, "-n", namespace, "pvc", "data")
    assert waiting["status"]["phase"] == "Pending"
    assert waiting["spec"]["storageClassName"] == STORAGE_CLASS

    pod = pod_spec(volumes=volumes, nodeSelector={ZONE: "zone-b"})
    apply(sandbox, named("Pod", "v1", "one", pod, namespace=namespace))
    waited = kubectl(sandbox, "wait", "-n", namespace, "--for=condition=Ready", "pod/one", "--timeout=45s")
    assert waited.returncode == 0, waited.stderr
    bound = get(sandbox, "-n", namespace, "pvc", "data")
    assert bound["status"]["phase"] == "Bound"
    name = bound["spec"]["volumeName"]
    terms = get(sandbox, "pv", name)["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone-b"]}]}]

    claim["resources"] = {"requests": {"storage": "3Gi"}}
    apply(sandbox, named("PersistentVolumeClaim", "v1", "data", claim, namespace=namespace))
    eventually(lambda: get(sandbox, "-n", namespace, "pvc", "data")["status"]["capacity"]["storage"] == "3Gi")
    assert get(sandbox, "pv", name)["spec"]["capacity"]["storage"] == "3Gi"

    kubectl(sandbox, "delete", "-n", namespace, "pod/one", "pvc/data", "--wait=false")
    eventually(lambda: kubectl(sandbox, "get", "pv", name).returncode != 0)


def test_a_volume_of_a_retaining_class_outlives_its_claim(sandbox: Sandbox, namespace: str) -> None:
    keeping = get(sandbox, "storageclass", STORAGE_CLASS)
    apply(
        sandbox,
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "keeping"},
            "provisioner": keeping["provisioner"],
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "Immediate",
        },
    )
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "keeping",
    }
    apply(sandbox, named("PersistentVolumeClaim", "v1", "data", claim, namespace=namespace))
    eventually(lambda: get(sandbox, "-n", namespace, "pvc", "data")["status"].get("phase") == "Bound")
    name = get(sandbox, "-n", namespace, "pvc", "data")["spec"]["volumeName"]
    kubectl(sandbox, "delete", "-n", namespace, "pvc/data")
    eventually(lambda: get(sandbox, "pv", name)["status"]["phase"] == "Released")
    time.sleep(2)
    assert get(sandbox, "pv", name)["status"]["phase"] == "Released"
    kubectl(sandbox, "delete", "pv", name)


def test_a_restricted_namespace_refuses_a_privileged_pod(sandbox: Sandbox, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    assert kubectl(sandbox, "label", "namespace", namespace, label).returncode == 0
    pod = pod_spec()
    pod["containers"][0]["securityContext"] = {"privileged": True}
    refused = kubectl(sandbox, "apply", "-f", "-", bodies=[named("Pod", "v1", "one", pod, namespace=namespace)])
    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_unauthenticated_requests_are_refused(sandbox: Sandbox) -> None:
    server = sandbox.status().server
    assert server
    result = kubectl(
        sandbox, "--kubeconfig=/dev/null", f"--server={server}", "--insecure-skip-tls-verify", "get", "pods"
    )
    assert result.returncode != 0
    authority = f"--certificate-authority={sandbox.folder.pki / 'ca.crt'}"
    scheduler = sandbox.folder.pki / f"{services.SCHEDULER}.kubeconfig"
    result = kubectl(sandbox, f"--kubeconfig={scheduler}", "get", "secrets", "--all-namespaces", authority)
    assert "forbidden" in result.stderr.lower()


def test_only_the_owner_can_read_private_files(sandbox: Sandbox) -> None:
    folder = sandbox.folder.path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    private = [*folder.rglob("*.key"), *folder.rglob("*.kubeconfig"), folder / "kubeconfig", folder / "passphrase"]
    assert len(private) >= 10
    for file in private:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_every_process_listens_on_loopback_only(sandbox: Sandbox) -> None:
    for report in sandbox.status().processes:
        for connection in psutil.Process(report.pid).net_connections():
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", report.name


def test_memory_stays_below_a_gibibyte(sandbox: Sandbox) -> None:
    assert sum(report.memory_bytes or 0 for report in sandbox.status().processes) < MEMORY_BYTES


def test_the_live_heap_of_the_api_server_is_far_below_its_limit(sandbox: Sandbox) -> None:
    """Near the limit it would collect garbage without a pause: at three quarters, a third of a core while idle."""
    metrics = kubectl(sandbox, "get", "--raw", "/metrics").stdout
    live, limit = (
        float(value)
        for name in ("go_gc_heap_live_bytes", "go_gc_gomemlimit_bytes")
        for value in re.findall(rf"^{name} (.*)$", metrics, re.MULTILINE)
    )
    assert live < 0.65 * limit


def test_env_configures_other_tools_for_the_sandbox(sandbox: Sandbox) -> None:
    command = f'eval "$("{sys.executable}" -m sandbox env)" && kubectl get nodes -o name && pulumi whoami -v'
    result = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "SANDBOX_DIR": str(sandbox.folder.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "node/node-a" in result.stdout
    assert str(sandbox.folder.backend) in result.stdout


def test_status_is_available_as_json(sandbox: Sandbox) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox", "status", "--json"],
        cwd=CHECKOUT,
        env={**os.environ, "SANDBOX_DIR": str(sandbox.folder.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    status = json.loads(result.stdout)
    assert status["state"] == "running"
    assert status["ready"] is True
    assert [process["name"] for process in status["processes"]] == list(services.SERVICES)


@pytest.mark.long
@pytest.mark.parametrize("name", services.SERVICES)
def test_a_killed_process_is_reported_with_its_log_and_restarted_alone(sandbox: Sandbox, name: str) -> None:
    before = {report.name: report.pid for report in sandbox.status().processes}
    victim = psutil.Process(before[name])
    victim.kill()
    victim.wait(10)
    status = sandbox.status()
    assert status.state == "degraded"
    crashed = [report for report in status.processes if report.state is State.CRASHED]
    assert name in [report.name for report in crashed]
    report = next(report for report in crashed if report.name == name)
    assert report.last_lines
    assert set(report.last_lines) <= set(report.log.read_text().splitlines())

    sandbox.up()
    after = {report.name: report.pid for report in sandbox.status().processes}
    assert sandbox.status().state == "running"
    assert after[name] != before[name]
    crashed_names = {report.name for report in crashed}
    assert {k: v for k, v in after.items() if k not in crashed_names} == {
        k: v for k, v in before.items() if k not in crashed_names
    }


@pytest.mark.long
def test_the_state_survives_a_restart_on_another_port(
    sandbox: Sandbox, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(sandbox, {**named("ConfigMap", "v1", "kept", namespace=namespace), "data": {"a": "b"}})
    old = sandbox.folder.ports()[services.API_SERVER]
    sandbox.down()
    assert sandbox.status().state == "stopped"
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", old))
        stranger.listen()
        sandbox.up()
    moved = sandbox.folder.ports()[services.API_SERVER]
    assert moved != old
    assert f"another program uses port {old} of kube-apiserver" in capsys.readouterr().err
    assert get(sandbox, "-n", namespace, "configmap", "kept")["data"] == {"a": "b"}


def test_a_second_up_changes_nothing_and_is_fast(sandbox: Sandbox) -> None:
    before = [report.pid for report in sandbox.status().processes]
    start = time.process_time()
    sandbox.up()
    assert time.process_time() - start < 5
    assert [report.pid for report in sandbox.status().processes] == before


def test_a_damaged_folder_gives_one_clear_error(sandbox: Sandbox, tmp_path: Path) -> None:
    broken = Sandbox(tmp_path / "broken")
    broken.folder.prepare()
    broken.folder.etcd.write_text("not a folder")
    try:
        with pytest.raises(SandboxError, match=r"etcd exited right after its start"):
            broken.up()
    finally:
        broken.reset()
    assert sandbox.status().state == "running"


def test_reset_deletes_everything_and_leaves_no_process(tmp_path: Path, sandbox: Sandbox) -> None:
    copy = tmp_path / "other"
    other = Sandbox(copy)
    other.folder.prepare()
    shutil.copytree(sandbox.folder.pki, copy / "pki", dirs_exist_ok=True)
    other.reset()
    assert not copy.exists()
    assert sandbox.status().state == "running"


def test_every_crd_of_the_manifests_is_established(sandbox: Sandbox) -> None:
    wanted = {crd["metadata"]["name"] for crd in manifests.ensure().read_crds()}
    found = get(sandbox, "crds")["items"]
    assert wanted
    assert wanted <= {crd["metadata"]["name"] for crd in found if _established(crd)}


def test_crds_equal_those_that_the_api_server_establishes(sandbox: Sandbox) -> None:
    """They are written to etcd before it starts. A posted CRD shows how the server would have stored them."""
    wanted = next(crd for crd in manifests.ensure().read_crds() if crd["spec"]["names"]["kind"] == "VirtualService")
    ours = wanted["metadata"]["name"]
    copy = json.loads(json.dumps(wanted).replace(wanted["spec"]["group"], "example.test"))
    apply(sandbox, copy)
    theirs = ours.replace(wanted["spec"]["group"], "example.test")
    try:
        # `kubectl wait` fails on a CRD without conditions, as right after its creation.
        eventually(lambda: _established(get(sandbox, "crd", theirs)))
        preloaded, posted = (_timeless(get(sandbox, "crd", name)) for name in (ours, theirs))
        assert preloaded["status"] == posted["status"]
        assert preloaded["spec"] | {"group": "example.test"} == posted["spec"]
    finally:
        kubectl(sandbox, "delete", f"crd/{theirs}")


def _established(crd: Json) -> bool:
    conditions = crd["status"].get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _timeless(crd: Json) -> Json:
    for condition in crd["status"]["conditions"]:
        del condition["lastTransitionTime"]
    return crd
