"""The parts of the real node that need no root."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from sandbox import images
from sandbox.controlplane import Sandbox, Status
from sandbox.errors import SandboxError
from sandbox.folder import Kind
from sandbox.node import box, config, network, registry, requirements
from sandbox.node.network import Network
from sandbox.processes import Report, State

LAYER = b"a layer"
DIGEST = "sha256:" + "1" * 64
MANIFEST = b"{}"
MANIFEST_DIGEST = "sha256:" + "2" * 64
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match=r"needs Linux, not darwin\n.*simulated"):
        requirements.check()


def test_another_user_than_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match=r"needs root.*\n.*sudo"):
        requirements.check()


def test_all_missing_packages_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program, path: program == "ip")
    monkeypatch.setattr(requirements, "CNI_PLUGINS", Path("/none"))
    with pytest.raises(SandboxError) as raised:
        requirements.check()
    expected = "apt-get install containerd containernetworking-plugins e2fsprogs iptables mount nftables runc"
    assert f"{expected} util-linux xfsprogs" in str(raised.value)
    assert "iproute2" not in str(raised.value)


def test_the_recorded_network_is_used_again_unless_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ["127.0.0.1", "10.250.1.1"]

    def addresses(*_: str) -> str:
        return json.dumps([{"addr_info": [{"local": address}]} for address in taken])

    monkeypatch.setattr(network, "_ip", addresses)
    record = tmp_path / "network.json"
    assert network.choose(record) == Network(2)
    taken.remove("10.250.1.1")
    assert network.choose(record) == Network(2)
    taken.append("10.250.2.1")
    assert network.choose(record) == Network(1)
    assert network.recorded_network(record) == Network(1)
    taken.extend(Network(number).host for number in network.NUMBERS)
    with pytest.raises(SandboxError, match="all networks"):
        network.choose(record)


def test_the_addresses_of_a_network_are_in_its_range() -> None:
    assert (Network(7).host, Network(7).node, Network(7).range) == ("10.250.7.1", "10.250.7.2", "10.250.7.0/30")
    assert all(len(Network(number).interface) < 16 for number in network.NUMBERS)  # IFNAMSIZ


def test_configuration_is_written_again_only_if_it_changes(tmp_path: Path) -> None:
    files = config.write(tmp_path, Network(3), tmp_path / "pki")
    before = {name: file.stat().st_mtime_ns for name, file in files.items()}
    assert config.write(tmp_path, Network(3), tmp_path / "pki") == files
    assert {name: file.stat().st_mtime_ns for name, file in files.items()} == before
    config.write(tmp_path, Network(4), tmp_path / "pki")
    assert "10.250.4.2" in files["kubelet"].read_text()


def test_a_sandbox_keeps_its_kind_of_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "check", lambda: None)
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.folder.prepare(Kind.REAL)
    assert sandbox.folder.kind is Kind.REAL
    with pytest.raises(SandboxError, match=r"has real nodes, not simulated ones\n.*reset"):
        sandbox.up(Kind.SIMULATED)


def test_the_status_of_a_node_that_never_ran_is_stopped(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "sandbox")
    sandbox.folder.prepare(Kind.REAL)
    status = sandbox.status()
    assert status.state == "stopped"
    assert "kubelet" in {report.name for report in status.processes}
    with pytest.raises(SandboxError, match="not running"):
        box.Box(sandbox.folder).enter()


def test_a_status_survives_json(tmp_path: Path) -> None:
    report = Report("etcd", State.CRASHED, tmp_path / "etcd.log", 7, 2379, last_lines=("panic",))
    status = Status("degraded", tmp_path, "https://10.250.1.2:6443", False, [report])
    again = Status.from_json(status.as_json())
    assert again.processes[0].state is State.CRASHED
    assert again.as_json() == status.as_json()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a registry with one image."""
    archive = tmp_path / "image.tar"
    index = json.dumps({"manifests": [{"digest": MANIFEST_DIGEST, "mediaType": MEDIA_TYPE}]}).encode()
    with tarfile.open(archive, "w") as tar:
        for name, content in {
            "index.json": index,
            f"blobs/sha256/{DIGEST[7:]}": LAYER,
            f"blobs/sha256/{MANIFEST_DIGEST[7:]}": MANIFEST,
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def ensure(references: list[str]) -> dict[str, Path]:
        if references != ["docker.io/library/postgres:17.10"]:
            raise SandboxError(f"{references[0]} can't be packed", "fix")
        return {references[0]: archive}

    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr(registry.Handler, "archives", registry.Archives(), raising=False)
    running = ThreadingHTTPServer(("127.0.0.1", 0), registry.Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_registry_serves_a_manifest_by_tag_and_blobs_by_digest(server: str, method: str) -> None:
    manifest = urllib3.request(method, f"{server}/v2/library/postgres/manifests/17.10?ns=docker.io")
    assert manifest.status == 200
    assert manifest.headers["Docker-Content-Digest"] == MANIFEST_DIGEST
    assert manifest.headers["Content-Type"] == MEDIA_TYPE
    assert manifest.data == (MANIFEST if method == "GET" else b"")
    blob = urllib3.request(method, f"{server}/v2/library/postgres/blobs/{DIGEST}?ns=docker.io")
    assert blob.headers["Content-Length"] == str(len(LAYER))
    assert blob.data == (LAYER if method == "GET" else b"")


def test_the_registry_says_why_it_lacks_an_image(server: str) -> None:
    answer = urllib3.request("GET", f"{server}/v2/library/mysql/manifests/8?ns=docker.io")
    assert answer.status == 404
    assert answer.json()["errors"][0]["message"].startswith("docker.io/library/mysql:8 can't be packed")
    assert urllib3.request("GET", f"{server}/v2/library/mysql/blobs/{DIGEST[:-1]}3").status == 404
