"""Kubeconfig files: an API server, whom to trust, and who asks."""

from __future__ import annotations

import base64
import json
from pathlib import Path

CONTEXT = "sandbox"


def kubeconfig(server: str, pki: Path, user: str) -> bytes:
    """A kubeconfig that holds the certificates themselves, so that it can be copied.

    It is written as JSON, which every reader of YAML takes.
    """

    def embedded(file: str) -> str:
        return base64.b64encode((pki / file).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": embedded("ca.crt")}
    credentials = {"client-certificate-data": embedded(f"{user}.crt"), "client-key-data": embedded(f"{user}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        "current-context": CONTEXT,
    }
    return json.dumps(content, indent=2).encode()
