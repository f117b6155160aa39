"""Pulumi's protobuf modules, without the SDK around them: `from sandbox.plugins.pulumirpc import provider_pb2`.

To import `pulumi.runtime.proto` also imports the whole SDK, which takes about 0.2 s in every plugin of every command.
At run time this module is a package whose path is the SDK's folder; type checkers see the SDK's modules.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        errors_pb2,
        language_pb2,
        language_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )

    __all__ = [
        "engine_pb2",
        "engine_pb2_grpc",
        "errors_pb2",
        "language_pb2",
        "language_pb2_grpc",
        "plugin_pb2",
        "provider_pb2",
        "provider_pb2_grpc",
        "status_pb2",
    ]
else:
    from importlib.util import find_spec
    from pathlib import Path

    __path__ = [str(Path(find_spec("pulumi").origin).parent / "runtime" / "proto")]
