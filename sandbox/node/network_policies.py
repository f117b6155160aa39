"""Enforces NetworkPolicies on the real node, with one table of nftables. A test tool for one node, not for clusters.

Run it as `python -m sandbox.node.network_policies SERVER CA CERTIFICATE KEY FILE SOCKET`, as root, in the network
namespace of the node. It needs nft (package nftables). It watches pods, namespaces and policies, and writes each
connection that is refused to FILE: see `sandbox.node.dropped`.

It fails closed: as long as a pod is not known, and if rules can't be applied, nothing reaches the pod or leaves it.
So that no pod has to wait for that, the CNI plugin announces the address of each new pod at SOCKET and gets an answer
when the rules for the pod are applied. `sandbox.node.policy_rules` says which connections are allowed.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path

from sandbox import informer
from sandbox.client import Client
from sandbox.informer import Informer
from sandbox.node import nftables
from sandbox.node.announcements import Server
from sandbox.node.dropped import Recorder
from sandbox.node.network import POD_RANGE
from sandbox.node.policy_rules import Rules, rules

PODS_PATH = "/api/v1/pods"
NAMESPACES_PATH = "/api/v1/namespaces"
POLICIES_PATH = "/apis/networking.k8s.io/v1/networkpolicies"

log = logging.getLogger("network-policies")


class Enforcer:
    """Applies the rules for the current objects."""

    def __init__(self, client: Client, file: Path, announcements: Path) -> None:
        self._changed = threading.Event()
        self._server = Server(announcements, self._changed.set)
        self._pods, self._namespaces, self._policies = (
            Informer(client, path, self._changed) for path in (PODS_PATH, NAMESPACES_PATH, POLICIES_PATH)
        )
        self._names: dict[str, str] = {}  # also of pods that have ended, until another one gets the address
        self._recorder = Recorder(file, self._names, nftables.LOG_GROUP)
        self._applied = ""

    def run(self) -> None:
        """Enforce until the process ends. Until the first objects are known, no pod can communicate."""
        self._recorder.start()
        self._server.start()
        if not nftables.exists():  # after a restart of this program, the rules of the previous one hold
            self._apply(Rules())
        informer.reconcile_changes((self._pods, self._namespaces, self._policies), self._changed, self.reconcile)

    def reconcile(self) -> bool:
        """Apply the rules for the current objects; return False if they could not be applied."""
        announced = self._server.announced()
        found = rules(self._pods.objects(), self._namespaces.objects(), self._policies.objects(), announced)
        self._names.update({pod.address: str(pod) for pod in found.pods})
        if not self._apply(found):
            return False
        self._server.applied({pod.address: pod.uid for pod in found.pods})
        return True

    def _apply(self, found: Rules) -> bool:
        text = nftables.table(found, POD_RANGE)
        if text == self._applied:
            return True
        start = time.monotonic()
        if error := nftables.apply(text):
            log.error("the rules could not be applied, the previous ones hold: %s", error)
            return False
        self._applied = text
        milliseconds = (time.monotonic() - start) * 1000
        log.info("%d pods, %d rules, applied in %.0f ms", len(found.pods), len(found.allowed), milliseconds)
        return True


def main() -> None:
    """Run with the arguments in the module's docstring."""
    client, (file, announcements) = informer.connect(sys.argv[1:])
    Enforcer(client, file, announcements).run()


if __name__ == "__main__":
    main()
