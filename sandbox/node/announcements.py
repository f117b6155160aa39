"""Addresses of new pods, as the CNI plugin announces them before the containers of a pod start."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

WAIT_SECONDS = 20.0
"""How long a pod waits for its rules. Then kubelet creates it again."""


class Server(threading.Thread):
    """Takes announcements at a Unix socket, and answers each when the rules for the pod are applied."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        """`changed` is called after each announcement."""
        super().__init__(daemon=True)
        self._path = path
        self._changed = changed
        self._condition = threading.Condition()
        self._announced: dict[str, str] = {}
        self._applied: Mapping[str, str] = {}

    def announced(self) -> dict[str, str]:
        """The uids of pods by the addresses that they have been given."""
        with self._condition:
            return dict(self._announced)

    def applied(self, pods: Mapping[str, str]) -> None:
        """Answer to the pods for which rules are applied: uids by address."""
        with self._condition:
            self._applied = pods
            self._condition.notify_all()

    def announce(self, address: str, uid: str) -> bool:
        """Whether the rules for a pod have been applied in time."""
        with self._condition:
            self._announced[address] = uid
            self._changed()
            return self._condition.wait_for(lambda: self._applied.get(address) == uid, WAIT_SECONDS)

    def run(self) -> None:
        """Serve until the process ends."""
        announce = self.announce

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                request = json.loads(self.rfile.readline())
                applied = announce(request["address"], request["uid"])
                self.wfile.write(b"applied\n" if applied else b"the pod is not known to the API server\n")

        self._path.unlink(missing_ok=True)
        with socketserver.ThreadingUnixStreamServer(str(self._path), Handler) as server:
            server.daemon_threads = True
            server.serve_forever()
