"""Serves a policy pack: the language host starts this file with the pack's own interpreter.

The Python policy SDK reads the stack's configuration from the environment at start, but the engine sends it to the
running pack, in a call to `ConfigureStack`. This file therefore starts the gRPC server first, answers that call, and
then runs the pack, whose `PolicyPack` registers with the running server instead of starting its own. (The official host
solves the same problem with a proxy between the engine and the pack: sdk/policy_proxy.go.)

The engine starts packs one after another and goes on to the next as soon as one has answered its first three calls
(PolicyAnalyzer in host.go). They are answered before the SDK is imported, so packs import it at the same time.

This file needs nothing but the standard library and the dependencies of `pulumi`.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler

SERVICE = "/pulumirpc.Analyzer/"
THREADS = 4
EMPTY = b""  # a protobuf message without fields
FAILURE_SECONDS = 10
"""How long a pack that failed to start keeps answering with the reason; the engine ends it earlier."""


class PackServer(Handler):
    """Answers the engine's first calls itself and passes the others on to the pack once the pack is ready.

    The pack gets this object from `grpc.server()`, so it has the methods of a server that `PolicyPack` calls.
    """

    def __init__(self, server: Any) -> None:  # noqa: ANN401  # the library has no types
        self._handlers: list[Any] = []
        self._ready = threading.Event()
        self._failure = ""
        self._stack: bytes | None = None
        self.configured = threading.Event()
        self.port: int = server.add_insecure_port("127.0.0.1:0")

    def service(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        """Return the handler of a call."""
        match details.method.removeprefix(SERVICE):
            case "Handshake" | "GetPluginInfo":
                return _unary(lambda *_: EMPTY)
            case "ConfigureStack":
                return _unary(self._configure)
        self.configured.set()  # `policy publish` sends no configuration
        self._ready.wait()
        if self._failure:
            return _unary(lambda _request, context: context.abort(grpc.StatusCode.UNKNOWN, self._failure))
        return self._handler_of_pack(details)

    def environment(self) -> dict[str, str]:
        """Return the stack's configuration as the environment variables that the SDK reads."""
        if self._stack is None:
            return {}
        from pulumi.runtime.proto import analyzer_pb2  # noqa: PLC0415  # see the module's docstring

        stack = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(self._stack)
        values = {
            "PULUMI_ORGANIZATION": stack.organization,
            "PULUMI_PROJECT": stack.project,
            "PULUMI_STACK": stack.stack,
            "PULUMI_DRY_RUN": "true" if stack.dry_run else "false",
            "PULUMI_CONFIG": json.dumps(dict(stack.config)),
        }
        return {key: value for key, value in values.items() if value}

    def fail(self, message: str) -> bool:
        """Answer every call with an error, unless the pack became ready before; return whether it did not."""
        early = not self._ready.is_set()
        if early:
            self._failure = message
            self._ready.set()
        return early

    def add_generic_rpc_handlers(self, handlers: Any) -> None:  # noqa: ANN401  # the library has no types
        """Register the pack's handlers."""
        self._handlers += handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """Do nothing: newer stubs register the same handlers both ways."""

    def add_insecure_port(self, address: str) -> str:
        """Return an empty port: the SDK prints it, and the engine ignores an empty line after the first."""
        del address
        return ""

    def start(self) -> None:
        """Pass the engine's calls on to the pack from now on."""
        handler = self._handler_of_pack(_Details(f"{SERVICE}ConfigureStack"))
        if self._stack is not None and handler:  # packs of older SDKs do not have this call
            handler.unary_unary(handler.request_deserializer(self._stack), None)
        self._ready.set()

    def stop(self, _grace: float | None) -> None:
        """Do nothing: the process ends."""

    def _configure(self, request: bytes, _context: object) -> bytes:
        if not self.configured.is_set():
            self._stack = request
            self.configured.set()
        return EMPTY

    def _handler_of_pack(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        return next((found for handler in self._handlers if (found := handler.service(details))), None)


class _Details:
    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method


def _unary(call: Any) -> Any:  # noqa: ANN401  # the library has no types
    return grpc.unary_unary_rpc_method_handler(call)  # no (de)serializers: messages pass as bytes


def configure_runtime(environment: dict[str, str]) -> None:
    """Configure Pulumi's runtime for the pack, as `pulumi.policy.__main__` of the SDK does."""
    os.environ.update(environment)
    from pulumi import runtime  # noqa: PLC0415  # see the module's docstring

    for key, value in runtime.get_config_env().items():
        runtime.set_config(key, value)
    if {"PULUMI_PROJECT", "PULUMI_STACK", "PULUMI_DRY_RUN"} <= os.environ.keys():
        runtime.configure(
            runtime.Settings(
                project=os.environ["PULUMI_PROJECT"],
                stack=os.environ["PULUMI_STACK"],
                dry_run=os.environ["PULUMI_DRY_RUN"] == "true",
                organization=os.environ.get("PULUMI_ORGANIZATION", "organization"),
            )
        )


def main() -> None:
    """Print the port, wait for the configuration, run the pack."""
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]  # show what a pack prints at once
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a pack has nothing to clean up
    pack = sys.argv[-1]
    server = grpc.server(
        ThreadPoolExecutor(THREADS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    pack_server = PackServer(server)
    server.add_generic_rpc_handlers([pack_server])
    server.start()
    sys.stdout.write(f"{pack_server.port}\n")
    sys.stdout.flush()
    pack_server.configured.wait()
    configure_runtime(pack_server.environment())
    grpc.server = lambda *_args, **_options: pack_server  # type: ignore[assignment]  # has what PolicyPack calls
    code: str | int | None = 0
    reason = ""
    try:
        runpy.run_path(pack, run_name="__main__")
    except SystemExit as stopped:
        code = stopped.code
    except Exception as error:
        code, reason = 1, f": {type(error).__name__}: {error}"  # the engine may not show the traceback in time
        sys.stderr.write(f"error: Program failed with an unhandled exception:\n{traceback.format_exc()}")
        sys.stderr.flush()
    if pack_server.fail(f"the policy pack in {pack} ended with exit code {code} before it was ready{reason}"):
        time.sleep(FAILURE_SECONDS)
    sys.exit(code)


main()
