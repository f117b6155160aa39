"""The packed images, as pods of the real node: what the stack's commands and scripts need is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from components.kubernetes.image_contracts import CONTRACTS, Contract
from sandbox import images
from sandbox.controlplane import Sandbox
from sandbox.images import catalog
from tests.engine.view import View
from tests.waiting import eventually

pytestmark = [pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(900)]  # a first run makes the images

NAMESPACE: Final = "images"
CHECKED: Final = {name.rpartition("/")[2]: contract for name, contract in CONTRACTS.items() if name in catalog.RECIPES}
"""By the last part of the repository."""


def checking_pod(name: str, contract: Contract) -> dict[str, Any]:
    """A restricted pod that runs the check of a contract, without privileges."""
    uid = contract.image.uid
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": uid,
                "runAsGroup": uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "check",
                    "image": contract.image.reference,
                    "command": ["/bin/sh", "-c", contract.check or "true"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def pods(node: Sandbox) -> Iterator[View]:
    """A namespace with a pod for each contract."""
    images.ensure(contract.image.reference for contract in CHECKED.values())
    view = View(node, NAMESPACE)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    manifests = [namespace, *(checking_pod(name, contract) for name, contract in CHECKED.items())]
    text = "\n---\n".join(map(json.dumps, manifests))
    view.kubectl("apply", "--namespace", NAMESPACE, "--filename=-", stdin=text).ok()
    yield view
    view.delete()


@pytest.mark.parametrize("name", CHECKED)
def test_an_image_has_what_its_contract_requires(pods: View, name: str) -> None:
    def ended() -> bool:
        return pods.get("pod", name)["status"]["phase"] in {"Succeeded", "Failed"}

    eventually(ended, f"{name} has been checked", within=120)
    assert pods.kubectl("logs", "--namespace", NAMESPACE, name).ok().stdout == ""
    assert pods.get("pod", name)["status"]["phase"] == "Succeeded"
