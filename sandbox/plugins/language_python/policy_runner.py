"""Serves a policy pack: the language host starts this file with the pack's own interpreter.

The Python policy SDK reads the stack's configuration from its environment at start, but the engine sends it by a call
(`ConfigureStack`) to the running pack. So a server answers the engine first, and then runs the pack, which is given
this server where it makes one. Upstream's host stands between the engine and the pack instead (sdk/policy_proxy.go).

The engine starts packs one after the other, and goes on to the next when this one has answered the first three calls
(host.go, PolicyAnalyzer). So these need nothing that takes long to import, and Pulumi's SDK is imported only by packs
that use it.

It needs nothing but the standard library and what `pulumi` depends on.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler

SERVICE = "/pulumirpc.Analyzer/"
THREADS = 4
EMPTY = b""
"""A protobuf message without a field."""
FAILURE_SECONDS = 10
"""How long a pack that did not start says so; the engine ends it before that."""


class Gate(Handler):
    """Answers until the pack is there, and then asks the pack."""

    def __init__(self, server: Any) -> None:  # noqa: ANN401  # the library has no types
        self._handlers: list[Any] = []
        self._ready = threading.Event()
        self._failure = ""
        self._stack: bytes | None = None
        self.configured = threading.Event()
        self.port: int = server.add_insecure_port("127.0.0.1:0")

    def service(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        """What answers a call."""
        match details.method.removeprefix(SERVICE):
            case "Handshake" | "GetPluginInfo":
                return _unary(lambda *_: EMPTY)
            case "ConfigureStack":
                return _unary(self._configure)
        self.configured.set()  # a call before any configuration: there is none, as for `policy publish`
        self._ready.wait()
        if self._failure:
            return _unary(lambda _request, context: context.abort(grpc.StatusCode.UNKNOWN, self._failure))
        return self._of_the_pack(details)

    def environment(self) -> dict[str, str]:
        """The stack's configuration as the SDK reads it."""
        if self._stack is None:
            return {}
        from pulumi.runtime.proto import analyzer_pb2  # noqa: PLC0415  # only packs with the SDK have imported it

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
        """Answer every call with an error, unless the pack was ready before; say whether it was not."""
        early = not self._ready.is_set()
        if early:
            self._failure = message
            self._ready.set()
        return early

    def add_generic_rpc_handlers(self, handlers: Any) -> None:  # noqa: ANN401  # the library has no types
        """Take what answers for the pack. This and the rest is asked of a server by PolicyPack (pulumi_policy)."""
        self._handlers += handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """The same handlers again: newer stubs give both."""

    def add_insecure_port(self, address: str) -> str:
        """Nothing: the SDK prints it, and the engine, which knows the port, passes over an empty line."""
        del address
        return ""

    def start(self) -> None:
        """Let the pack answer."""
        handler = self._of_the_pack(_Details(f"{SERVICE}ConfigureStack"))
        if self._stack is not None and handler:  # older packs know no such call
            handler.unary_unary(handler.request_deserializer(self._stack), None)
        self._ready.set()

    def stop(self, _grace: float | None) -> None:
        """Nothing to do: the process ends."""

    def _configure(self, request: bytes, _context: object) -> bytes:
        if not self.configured.is_set():
            self._stack = request
            self.configured.set()
        return EMPTY

    def _of_the_pack(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        return next((found for handler in self._handlers if (found := handler.service(details))), None)


class _Details:
    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method


def _unary(call: Any) -> Any:  # noqa: ANN401  # the library has no types
    return grpc.unary_unary_rpc_method_handler(call)  # no (de)serializers: messages pass as bytes


class Preparation(MetaPathFinder):
    """Prepares Pulumi's runtime when a pack imports the policy SDK, as upstream does for every pack.

    (pulumi.policy.__main__ of the SDK.)
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def find_spec(self, name: str, *_: object) -> None:
        """Nothing: others find it, once everything is prepared."""
        if name != "pulumi_policy":
            return
        sys.meta_path.remove(self)
        os.environ.update(self._gate.environment())
        from pulumi import runtime  # noqa: PLC0415  # see above

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
    gc.disable()  # nothing of what is imported is garbage
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]  # what a pack prints is shown at once
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a pack has nothing to bring to an end
    pack = sys.argv[-1]
    server = grpc.server(
        ThreadPoolExecutor(THREADS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    gate = Gate(server)
    server.add_generic_rpc_handlers([gate])
    server.start()
    sys.stdout.write(f"{gate.port}\n")
    sys.stdout.flush()
    gate.configured.wait()
    sys.meta_path.insert(0, Preparation(gate))
    gc.enable()
    grpc.server = lambda *_args, **_options: gate  # type: ignore[assignment]  # as far as it is used
    code: str | int | None = 0
    reason = ""
    try:
        runpy.run_path(pack, run_name="__main__")
    except SystemExit as stopped:
        code = stopped.code
    except Exception as error:
        code, reason = 1, f": {type(error).__name__}: {error}"  # the traceback may come too late to be shown
        sys.stderr.write(f"error: Program failed with an unhandled exception:\n{traceback.format_exc()}")
        sys.stderr.flush()
    if gate.fail(f"the policy pack in {pack} ended with exit code {code} before it was ready{reason}"):
        time.sleep(FAILURE_SECONDS)
    sys.exit(code)


main()
