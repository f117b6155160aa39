"""The server that the engine asks: one pack, judged as the engine sends resource after resource, then the whole stack.

It speaks the engine's protocol (pulumi/analyzer.proto) itself. With Pulumi's policy SDK a pack takes a third longer to
start, and reads each resource anew for each of its policies (docs/benchmarks.md).
"""

import datetime
import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2

from langfuse_policies.engine.packs import Policy, policies
from langfuse_policies.engine.policy import PackName
from langfuse_policies.engine.protocol import analyzer_pb2 as messages
from langfuse_policies.engine.protocol import plugin_pb2
from langfuse_policies.engine.run import Run
from langfuse_policies.engine.wire import resource_of, with_metadata
from langfuse_policies.facts.resources import Resource, Stack

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler

#: Where the waivers are: beside the folders of the packs, unless the environment says otherwise.
WAIVERS_VARIABLE = "LANGFUSE_POLICIES_WAIVERS"
_WAIVERS = Path("../waivers.yaml")
_VERSION = "0.0.1"  # the engine shows that of PulumiPolicy.yaml
_SERVICE = "/pulumirpc.Analyzer/"
_THREADS = 4


def serve(pack: PackName) -> None:
    """Answers the engine until it goes away. The working folder is that of the pack."""
    waivers = Path(os.environ.get(WAIVERS_VARIABLE, _WAIVERS))
    analyzer = Analyzer(f"langfuse-{pack}", *policies(pack, waivers, datetime.datetime.now(datetime.UTC).date()))
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([Calls(analyzer)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    threading.Event().wait()


class Analyzer:
    """Answers for one pack. The names of its public methods are the protocol's."""

    def __init__(self, name: str, run: Run, policies: list[Policy]) -> None:
        self._name = name
        self._run = run
        self._policies = policies
        self._of_kinds: dict[str, list[Policy]] = {}
        #: Whether the configuration lets a policy change resources.
        self.remediates = False

    def GetPluginInfo(self, _request: empty_pb2.Empty) -> plugin_pb2.PluginInfo:  # noqa: N802
        """The version of this server."""
        return plugin_pb2.PluginInfo(version=_VERSION)

    def GetAnalyzerInfo(self, _request: empty_pb2.Empty) -> messages.AnalyzerInfo:  # noqa: N802
        """The policies."""
        infos = [policy.info for policy in self._policies]
        return messages.AnalyzerInfo(name=self._name, version=_VERSION, supportsConfig=True, policies=infos)

    def Configure(self, request: messages.ConfigureAnalyzerRequest) -> empty_pb2.Empty:  # noqa: N802
        """Takes levels and settings."""
        for policy in self._policies:
            if policy.name in request.policyConfig:
                given = request.policyConfig[policy.name]
                policy.configure(given.enforcementLevel, json_format.MessageToDict(given.properties))
        self.remediates = any(policy.level == messages.REMEDIATE for policy in self._policies)
        return empty_pb2.Empty()

    def Analyze(self, request: messages.AnalyzeRequest) -> messages.AnalyzeResponse:  # noqa: N802
        """Judges one resource."""
        resource = resource_of(request)
        return self._judged(resource, self._concerned_with(resource))

    def AnalyzeStack(self, request: messages.AnalyzeStackRequest) -> messages.AnalyzeResponse:  # noqa: N802
        """Judges the whole stack."""
        self._run.enabled = {policy.name for policy in self._policies if policy.enabled}
        stack = Stack([resource_of(each) for each in request.resources])
        return self._judged(stack, (policy for policy in self._policies if policy.scope == "stack"))

    def Remediate(self, request: messages.AnalyzeRequest) -> messages.RemediateResponse:  # noqa: N802
        """Adds to a resource what it lacks; each policy finds what those before it have added."""
        response, resource = messages.RemediateResponse(), resource_of(request)
        for policy in self._concerned_with(resource):
            missing = policy.missing(resource) if policy.level == messages.REMEDIATE else {}
            changed = with_metadata(request.properties, missing) if missing else None
            if changed is not None:
                request.properties.CopyFrom(changed)
                resource = resource_of(request)
                response.remediations.append(self._remediation(policy, changed))
        return response

    def _concerned_with(self, resource: Resource) -> list[Policy]:
        """The policies that read resources of this kind."""
        if resource.kind not in self._of_kinds:
            self._of_kinds[resource.kind] = [
                policy
                for policy in self._policies
                if policy.scope == "resource" and (not policy.kinds or resource.kind in policy.kinds)
            ]
        return self._of_kinds[resource.kind]

    def _judged(self, subject: Resource | Stack, policies: Iterable[Policy]) -> messages.AnalyzeResponse:
        found = [
            messages.AnalyzeDiagnostic(
                policyName=policy.name,
                policyPackName=self._name,
                policyPackVersion=_VERSION,
                description=policy.info.description,
                message=f"{policy.info.description}\n{finding.message}",
                enforcementLevel=_reported(policy),
                severity=policy.info.severity,
                urn=finding.urn,
            )
            for policy in policies
            if policy.enabled
            for finding in policy.on(subject)
        ]
        return messages.AnalyzeResponse(diagnostics=found)

    def _remediation(self, policy: Policy, properties: struct_pb2.Struct) -> messages.Remediation:
        return messages.Remediation(
            policyName=policy.name,
            policyPackName=self._name,
            policyPackVersion=_VERSION,
            description=policy.info.description,
            properties=properties,
        )


class Calls(Handler):
    """The calls of an analyzer. `Remediate` is one of them only where a policy remediates.

    The engine asks it of every pack for every resource, one after the other, before anything else; it takes
    "unimplemented" for none (analyzer_plugin.go), and that answer needs no thread.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._handlers = {name: _handler(getattr(analyzer, name), request) for name, request in _REQUESTS.items()}

    def service(self, details: Any) -> Any:  # noqa: ANN401  # the library has no types
        """What answers a call; None if nothing does."""
        name = details.method.removeprefix(_SERVICE)
        return None if name == "Remediate" and not self._analyzer.remediates else self._handlers.get(name)


_REQUESTS: Final[dict[str, Any]] = {
    "GetPluginInfo": empty_pb2.Empty,
    "GetAnalyzerInfo": empty_pb2.Empty,
    "Configure": messages.ConfigureAnalyzerRequest,
    "Analyze": messages.AnalyzeRequest,
    "AnalyzeStack": messages.AnalyzeStackRequest,
    "Remediate": messages.AnalyzeRequest,
}


def _handler(call: Any, request: Any) -> Any:  # noqa: ANN401  # the library has no types
    return grpc.unary_unary_rpc_method_handler(
        lambda message, _context: call(message),
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _reported(policy: Policy) -> messages.EnforcementLevel.ValueType:
    """What is still wrong after a remedy is as bad as any other fault."""
    return messages.MANDATORY if policy.level == messages.REMEDIATE else policy.level
