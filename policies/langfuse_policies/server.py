"""The server that the engine asks: the SDK's, with one cost removed."""

import datetime
import os
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationArgs
from pulumi_policy import policy as sdk
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.proxy import unknown_checking_proxy

from langfuse_policies.packs import policies
from langfuse_policies.resources import Resource, Stack
from langfuse_policies.rules import PackName
from langfuse_policies.run import Run

#: Where the waivers are: beside the folders of the packs, unless the environment says otherwise.
WAIVERS_VARIABLE = "LANGFUSE_POLICIES_WAIVERS"
_WAIVERS = Path("../waivers.yaml")


def serve(pack: PackName) -> None:
    """Answers the engine until it goes away. The working folder is that of the pack."""
    waivers = Path(os.environ.get(WAIVERS_VARIABLE, _WAIVERS))
    run, checks = policies(pack, waivers, datetime.datetime.now(datetime.UTC).date())
    # PolicyPack makes its server by this name; there is no other seam.
    setattr(sdk, "_PolicyAnalyzerServicer", partial(Analyzer, run))  # noqa: B010  # as mypy wants it
    PolicyPack(f"langfuse-{pack}", checks, EnforcementLevel.ADVISORY)


class Analyzer(sdk._PolicyAnalyzerServicer):
    """Reads the resources of a stack once, where the SDK reads all of them anew for each policy.

    With 25 policies that is 0.7 s of CPU for 120 resources, and 4.7 s for 1,000 (docs/benchmarks.md).
    """

    def __init__(self, run: Run, *of_the_pack: Any) -> None:  # noqa: ANN401  # what PolicyPack hands to the SDK's
        super().__init__(*of_the_pack)
        self._run = run

    def AnalyzeStack(self, request: analyzer_pb2.AnalyzeStackRequest, context: object) -> Any:  # noqa: ANN401, N802
        """Judges the whole stack: the policies find it in their run, and nothing is left for the SDK to read."""
        self._run.stack = Stack([self._resource(each) for each in request.resources])
        return super().AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), context)  # type: ignore[no-untyped-call]

    def _resource(self, given: analyzer_pb2.AnalyzerResource) -> Resource:
        props = unknown_checking_proxy(deserialize_properties(json_format.MessageToDict(given.properties)))
        options = self._get_resource_options(given)
        options.parent = given.parent or None
        return Resource.of(ResourceValidationArgs(given.type, props, given.urn, given.name, options, None))
