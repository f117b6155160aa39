"""The CNI plugin announces pods to the enforcer and waits for their rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from sandbox.node import announcements, cni_plugin
from sandbox.node.announcements import Server

RESULT = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.244.0.7/24"}], "routes": []}
ARGUMENTS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=app;K8S_POD_NAME=web;K8S_POD_UID=u-1"


def plugin(command: str, socket: Path, arguments: str = ARGUMENTS) -> subprocess.CompletedProcess[str]:
    configuration = {"cniVersion": "0.4.0", "name": "node", "socket": str(socket), "prevResult": RESULT}
    return subprocess.run(
        [sys.executable, "-IS", cni_plugin.__file__],
        input=json.dumps(configuration),
        env={"CNI_COMMAND": command, "CNI_ARGS": arguments},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def socket() -> Iterator[Path]:
    with TemporaryDirectory() as folder:  # the path of a socket must be short
        yield Path(folder) / "socket"


class Enforcer:
    """Applies rules for the pods that it knows, after every announcement."""

    def __init__(self, socket: Path, known: Mapping[str, str]) -> None:
        self.known = known
        self.server = Server(socket, self.changed)
        self.server.start()

    def changed(self) -> None:
        self.server.applied(self.known)


def output(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401  # as a plugin prints it
    return json.loads(done.stdout)


def test_a_pod_starts_when_its_rules_are_applied(socket: Path) -> None:
    enforcer = Enforcer(socket, {"10.244.0.7": "u-1"})
    done = plugin("ADD", socket)
    assert (done.returncode, output(done)) == (0, RESULT), done.stderr
    assert enforcer.server.announced() == {"10.244.0.7": "u-1"}


def test_a_pod_does_not_start_without_rules(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "WAIT_SECONDS", 0.1)
    Enforcer(socket, {"10.244.0.7": "another pod, which had the address before"})
    done = plugin("ADD", socket)
    assert done.returncode == 1
    assert output(done)["code"] == cni_plugin.TRY_AGAIN_LATER
    assert "NetworkPolicies are not enforced: the pod is not known" in output(done)["msg"]


def test_without_an_enforcer_there_is_an_error(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cni_plugin, "SECONDS", 0.1)
    assert "does not answer" in (cni_plugin.announce(str(socket), "10.244.0.7", "u-1") or "")


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_other_commands_need_no_enforcer(socket: Path, command: str) -> None:
    done = plugin(command, socket)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_versions_are_those_of_its_configuration(socket: Path) -> None:
    assert RESULT["cniVersion"] in output(plugin("VERSION", socket))["supportedVersions"]
