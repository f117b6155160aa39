"""Starts the Kubernetes provider: `python -m sandbox.plugins.kubernetes ENGINE_ADDRESS`."""

from __future__ import annotations

import sys

from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.protocol import serve
from sandbox.plugins.pulumirpc import provider_pb2_grpc

ENGINE_ADDRESS = 1


def remove_key_files() -> None:
    """Delete the key files of the client library, which itself deletes them only at a normal exit."""
    client = sys.modules.get("kubernetes.config.kube_config")
    if client is not None:
        client._cleanup_temp_files()


if __name__ == "__main__":
    provider = KubernetesProvider(sys.argv[ENGINE_ADDRESS] if len(sys.argv) > ENGINE_ADDRESS else "")

    def stop() -> None:
        """Cancel all waits and delete temporary files."""
        provider.stop()
        remove_key_files()

    serve(
        "pulumi-resource-kubernetes",
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server),
        stop,
    )
