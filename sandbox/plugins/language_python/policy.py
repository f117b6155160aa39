"""Starts a policy pack once its stack configuration is known, and stands between it and the engine.

The Python policy SDK reads the stack's configuration from its environment at start, but the engine sends it by a call
(`ConfigureStack`) to the running pack. So the engine talks to this proxy first: sdk/policy_proxy.go does the same.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.message import Message

from sandbox.plugins.errors import PluginError
from sandbox.plugins.protocol import CHANNEL_OPTIONS
from sandbox.plugins.pulumirpc import analyzer_pb2

if TYPE_CHECKING:
    GenericHandler = grpc.GenericRpcHandler[bytes, bytes]
else:
    GenericHandler = grpc.GenericRpcHandler

SERVICE: Final = "/pulumirpc.Analyzer/"
PROXY_WORKERS: Final = 32


def _unary(call: Callable[[bytes, grpc.ServicerContext], bytes]) -> grpc.RpcMethodHandler[bytes, bytes]:
    return grpc.unary_unary_rpc_method_handler(call)  # no (de)serializers: messages pass as bytes


class _Pack:
    """A running pack, and what calls each of its methods: to make that anew costs as much as a call."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        self._calls: dict[str, Callable[[bytes], bytes]] = {}

    def call(self, method: str, request: bytes) -> bytes:
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(method, bytes, bytes)
        return self._calls[method](request)


class PolicyProxy(GenericHandler):
    """An Analyzer service that answers the handshake itself and passes every other call to the pack."""

    def __init__(self) -> None:
        self._configuration: Future[analyzer_pb2.AnalyzerStackConfigureRequest | None] = Future()
        self._pack: Future[_Pack] = Future()
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(PROXY_WORKERS), handlers=[self], options=CHANNEL_OPTIONS)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def environment(self) -> dict[str, str]:
        """Wait for the engine's configuration of the stack and return the pack's variables for it."""
        stack = self._configuration.result()
        if stack is None:
            return {}
        values = {
            "PULUMI_ORGANIZATION": stack.organization,
            "PULUMI_PROJECT": stack.project,
            "PULUMI_STACK": stack.stack,
            "PULUMI_DRY_RUN": "true" if stack.dry_run else "false",
            "PULUMI_CONFIG": json.dumps(dict(stack.config)),
        }
        return {key: value for key, value in values.items() if value}

    def attach(self, port: int) -> None:
        """Pass calls on to the pack that listens on `port`, its stack configuration first."""
        pack = _Pack(port)
        stack = self._configuration.result()
        if stack is not None:
            try:
                pack.call(SERVICE + "ConfigureStack", stack.SerializeToString())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:  # older packs know no such call
                    self.fail(f"the policy pack refused its configuration: {error.details()}")
                    return
        self._pack.set_result(pack)

    def fail(self, message: str) -> None:
        """Answer every call with an error: the pack did not start."""
        if not self._pack.done():
            self._pack.set_exception(PluginError(message))

    def close(self) -> None:
        """Stop serving."""
        self._configure(None)
        self.fail("the policy pack has ended")
        self._server.stop(None)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return what answers a call."""
        method = handler_call_details.method
        if not method.startswith(SERVICE):
            return None
        match method.removeprefix(SERVICE):
            case "Handshake":
                return _unary(lambda _request, _context: analyzer_pb2.AnalyzerHandshakeResponse().SerializeToString())
            case "ConfigureStack":
                return _unary(self._configure_stack)
            case _:
                return _unary(lambda request, context: self._forward(method, request, context))

    def _configure_stack(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        self._configure(analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request))
        answer: Message = analyzer_pb2.AnalyzerStackConfigureResponse()
        return answer.SerializeToString()

    def _configure(self, stack: analyzer_pb2.AnalyzerStackConfigureRequest | None) -> None:
        with self._lock:
            if not self._configuration.done():
                self._configuration.set_result(stack)

    def _forward(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._configure(None)  # a call before any configuration: there is none, as for `policy publish`
        try:
            return self._pack.result().call(method, request)
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, error.message)
        except grpc.RpcError as error:
            context.set_trailing_metadata(tuple((item.key, item.value) for item in error.trailing_metadata()))
            context.abort(error.code(), error.details() or "the policy pack gave no reason")
