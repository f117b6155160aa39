"""The server that the engine asks: the SDK's, with two costs removed (docs/benchmarks.md)."""

import datetime
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import EnforcementLevel, Policy, ResourceValidationPolicy
from pulumi_policy import policy as sdk

from langfuse_policies.catalogue import RULES
from langfuse_policies.packs import policies
from langfuse_policies.resources import Resource, Stack
from langfuse_policies.rules import PackName
from langfuse_policies.run import Run
from langfuse_policies.wire import resource_of

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler

#: Where the waivers are: beside the folders of the packs, unless the environment says otherwise.
WAIVERS_VARIABLE = "LANGFUSE_POLICIES_WAIVERS"
_WAIVERS = Path("../waivers.yaml")
_THREADS = 4
_SERVER = sdk._PolicyAnalyzerServicer
_REMEDIATE = "/pulumirpc.Analyzer/Remediate"


def serve(pack: PackName) -> None:
    """Answers the engine until it goes away. The working folder is that of the pack."""
    waivers = Path(os.environ.get(WAIVERS_VARIABLE, _WAIVERS))
    run, checks = policies(pack, waivers, datetime.datetime.now(datetime.UTC).date())
    # As PolicyPack (pulumi_policy) does it, whose server can't be another than the SDK's.
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([Calls(Analyzer(run, f"langfuse-{pack}", "0.0.1", checks))])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


class Analyzer(_SERVER):
    """Reads each resource once and asks who is concerned, where the SDK reads it anew for each policy of the pack.

    The policies find what is judged in their run; nothing is left for the SDK to read.
    """

    def __init__(self, run: Run, name: str, version: str, policies: list[Policy]) -> None:
        super().__init__(name, version, policies, EnforcementLevel.ADVISORY)
        self._run = run
        self._pack = name, version
        self._policies = policies
        self._configured = analyzer_pb2.ConfigureAnalyzerRequest()
        self._levels = self._levels_now()
        self._of_kinds: dict[str, Any] = {}
        self._of_policies: dict[tuple[str, ...], Any] = {}

    @property
    def remediates(self) -> bool:
        """Whether the configuration lets a policy change resources."""
        return EnforcementLevel.REMEDIATE in self._levels.values()

    def Configure(self, request: analyzer_pb2.ConfigureAnalyzerRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Takes levels and settings."""
        answer = super().Configure(request, context)  # type: ignore[no-untyped-call]
        self._configured = request
        self._levels = self._levels_now()
        self._of_kinds.clear()
        self._of_policies.clear()
        return answer

    def Analyze(self, request: analyzer_pb2.AnalyzeRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Judges one resource."""
        self._run.resource = resource = resource_of(request)
        if resource.kind not in self._of_kinds:
            self._of_kinds[resource.kind] = self._concerned_with(resource)
        concerned = self._of_kinds[resource.kind]
        head = analyzer_pb2.AnalyzeRequest(type=request.type, name=request.name, urn=request.urn)
        return concerned.Analyze(head, context) if concerned else analyzer_pb2.AnalyzeResponse()

    def AnalyzeStack(self, request: analyzer_pb2.AnalyzeStackRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Judges the whole stack."""
        self._run.stack = Stack([resource_of(each) for each in request.resources])
        self._run.enabled = {name for name, level in self._levels.items() if level != EnforcementLevel.DISABLED}
        return super().AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), context)  # type: ignore[no-untyped-call]

    def _levels_now(self) -> dict[str, EnforcementLevel]:
        return {one.name: self._get_enforcement_level(one) for one in self._policies}

    def _concerned_with(self, resource: Resource) -> Any:  # noqa: ANN401  # the SDK's server, or None
        """A server with those policies alone that read resources of this kind."""
        policies: list[Policy] = [
            one
            for one in self._policies
            if isinstance(one, ResourceValidationPolicy) and (one.name not in RULES or RULES[one.name].reads(resource))
        ]
        if not policies:
            return None
        names = tuple(one.name for one in policies)
        if names not in self._of_policies:
            self._of_policies[names] = _SERVER(*self._pack, policies, EnforcementLevel.ADVISORY)
            self._of_policies[names].Configure(self._configured, None)
        return self._of_policies[names]


class Calls(Handler):
    """The calls of an analyzer. `Remediate` is one of them only where a policy remediates.

    The engine asks it of every pack for every resource, one after the other, before anything else; it takes
    "unimplemented" for none (analyzer_plugin.go), and that answer needs no thread.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._handlers: list[Handler] = []
        analyzer_pb2_grpc.add_AnalyzerServicer_to_server(analyzer, self)  # type: ignore[arg-type]  # as far as it is used

    def add_generic_rpc_handlers(self, handlers: Any) -> None:  # noqa: ANN401  # the library has no types
        """Takes the SDK's handlers."""
        self._handlers += handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """The same handlers again."""

    def service(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        """What answers a call; None if nothing does."""
        if details.method == _REMEDIATE and not self._analyzer.remediates:
            return None
        return next((found for handler in self._handlers if (found := handler.service(details))), None)
