"""Starts the random provider."""

from sandbox.plugins.protocol import serve
from sandbox.plugins.pulumirpc import provider_pb2_grpc
from sandbox.plugins.random.provider import RandomProvider

if __name__ == "__main__":
    serve(
        "pulumi-resource-random",
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(RandomProvider(), server),
    )
