"""The server that the engine asks: the SDK's, with one cost removed."""

import datetime
import os
from functools import partial
from pathlib import Path
from typing import Any

from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, Policy, PolicyPack, ResourceValidationPolicy
from pulumi_policy import policy as sdk

from langfuse_policies.catalogue import RULES
from langfuse_policies.packs import policies
from langfuse_policies.resources import Resource, Stack
from langfuse_policies.rules import PackName
from langfuse_policies.run import Run
from langfuse_policies.wire import resource_of

#: Where the waivers are: beside the folders of the packs, unless the environment says otherwise.
WAIVERS_VARIABLE = "LANGFUSE_POLICIES_WAIVERS"
_WAIVERS = Path("../waivers.yaml")
_SERVER = sdk._PolicyAnalyzerServicer


def serve(pack: PackName) -> None:
    """Answers the engine until it goes away. The working folder is that of the pack."""
    waivers = Path(os.environ.get(WAIVERS_VARIABLE, _WAIVERS))
    run, checks = policies(pack, waivers, datetime.datetime.now(datetime.UTC).date())
    # PolicyPack makes its server by this name; there is no other seam.
    setattr(sdk, "_PolicyAnalyzerServicer", partial(Analyzer, run))  # noqa: B010  # as mypy wants it
    PolicyPack(f"langfuse-{pack}", checks, EnforcementLevel.ADVISORY)


class Analyzer(_SERVER):
    """Reads each resource once and asks who is concerned, where the SDK reads it anew for each policy of the pack.

    The policies find what is judged in their run; nothing is left for the SDK to read (docs/benchmarks.md).
    """

    def __init__(self, run: Run, *of_the_pack: Any) -> None:  # noqa: ANN401  # what PolicyPack hands to the SDK's
        super().__init__(*of_the_pack)
        self._run = run
        self._name, self._version, self._policies, self._level, *_ = of_the_pack
        self._configured = analyzer_pb2.ConfigureAnalyzerRequest()
        self._levels = self._levels_now()
        self._of_kinds: dict[str, Any] = {}

    def Configure(self, request: analyzer_pb2.ConfigureAnalyzerRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Takes levels and settings."""
        answer = super().Configure(request, context)  # type: ignore[no-untyped-call]
        self._configured = request
        self._levels = self._levels_now()
        self._of_kinds.clear()
        return answer

    def Remediate(self, request: analyzer_pb2.AnalyzeRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Adds what is missing, if the configuration lets a policy do so."""
        if EnforcementLevel.REMEDIATE not in self._levels.values():
            return analyzer_pb2.RemediateResponse()
        return super().Remediate(request, context)  # type: ignore[no-untyped-call]

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
        server: Any = _SERVER(self._name, self._version, policies, self._level)
        server.Configure(self._configured, None)
        return server
