"""Starts the language host: the engine runs `pulumi-language-python ENGINE_ADDRESS`."""

import sys

from sandbox.plugins.language_python.host import LanguageHost
from sandbox.plugins.protocol import serve
from sandbox.plugins.pulumirpc import language_pb2_grpc

if __name__ == "__main__":
    host = LanguageHost(sys.argv[-1] if len(sys.argv) > 1 else "")
    serve(
        "pulumi-language-python",
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        on_stop=host.children.stop_all,
    )
