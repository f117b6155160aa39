"""The gRPC server of every stand-in plugin, its lifecycle and its errors.

A plugin prints the port that it listens on and serves until the engine interrupts it or exits. Calls that it does not
support return one clear error. `properties.py` converts resource properties.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.probe import distributions
from sandbox.plugins.pulumirpc import plugin_pb2, status_pb2

MAX_MESSAGE_BYTES: Final = 400 * 1024 * 1024  # the engine's own limit: sdk/go/common/util/rpcutil/serve.go
CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]
WORKERS: Final = 256  # each call has a thread, which waits for the cluster; the engine limits the number of calls
PARENT_CHECK_SECONDS: Final = 1.0
STOP_GRACE_SECONDS: Final = 2.0  # the engine kills after 5 s: sdk/go/common/resource/plugin/plugin.go

if TYPE_CHECKING:
    Interceptor = grpc.ServerInterceptor[Message, Message]
else:
    Interceptor = grpc.ServerInterceptor
Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"
Behaviour: TypeAlias = Callable[[Message, grpc.ServicerContext], Message]
StreamBehaviour: TypeAlias = Callable[[Message, grpc.ServicerContext], Iterator[Message]]


def unsupported(what: str) -> PluginError:
    """Return the error for a feature that a stand-in does not have."""
    return PluginError(
        f"{what} is not supported by the stand-in plugin; install the official plugin and set PLUGINS=official",
        code="UNIMPLEMENTED",
    )


@cache
def package_version(distribution: str) -> str:
    """Return the installed version of a Python package, which is also the version of its plugin."""
    wanted = distribution.replace("-", "_")
    release = next((release for name, release in distributions(sys.path) if name == wanted), None)
    if release is None:
        raise PluginError(f"the Python package {distribution} is not installed")
    return release


def plugin_info(distribution: str) -> plugin_pb2.PluginInfo:
    """Return the response of `GetPluginInfo` for the plugin of a Python package."""
    return plugin_pb2.PluginInfo(version=package_version(distribution))


def serve(
    plugin: str, register: Callable[[grpc.Server], object], on_stop: Callable[[], None] = lambda: None
) -> NoReturn:
    """Serve until the engine interrupts this process or exits, then run `on_stop` and exit.

    `plugin` is its name in errors; `register` adds the servicer, for example
    `lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Random(), server)`.
    """
    parent = os.getppid()
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    server = grpc.server(
        ThreadPoolExecutor(max_workers=WORKERS), options=CHANNEL_OPTIONS, interceptors=[_Errors(plugin)]
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")  # the engine reads the port from the first line
    sys.stdout.flush()
    while not stopped.wait(PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass
    on_stop()
    server.stop(STOP_GRACE_SECONDS).wait()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a call that still waits for a cluster must not hold the process


class _Errors(Interceptor):
    """Turns an exception of a servicer into one error. An unexpected one is reported as a bug, without its message."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method.rsplit("/", 1)[-1]
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return handler

    def _unary(self, method: str, behaviour: Behaviour) -> Behaviour:
        def call(request: Message, context: grpc.ServicerContext) -> Message:
            try:
                return behaviour(request, context)
            except Exception as error:  # every exception must become a status
                self._abort(method, error, context)

        return call

    def _stream(self, method: str, behaviour: StreamBehaviour) -> StreamBehaviour:
        def call(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            try:
                yield from behaviour(request, context)
            except Exception as error:  # every exception must become a status
                self._abort(method, error, context)

        return call

    def _abort(self, method: str, error: Exception, context: grpc.ServicerContext) -> NoReturn:
        if isinstance(error, PluginError):
            code = grpc.StatusCode[error.code]
            if error.detail is not None:
                detail = AnyMessage()
                detail.Pack(error.detail)
                status = status_pb2.Status(code=code.value[0], message=error.message, details=[detail])
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(code, error.message)
        # The message of an unexpected exception may contain a secret value: report only its type and place.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
        context.abort(
            grpc.StatusCode.INTERNAL,
            f"{self.plugin}: {method} failed with a bug ({type(error).__name__}{where}); please report it",
        )
