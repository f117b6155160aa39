"""The packs as the engine talks to them: the same messages to the same server, in this process."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2
from langfuse_policies.engine.packs import policies
from langfuse_policies.engine.policy import PackName
from langfuse_policies.engine.protocol import analyzer_pb2 as messages
from langfuse_policies.engine.server import Analyzer
from langfuse_policies.engine.wire import resource_of
from langfuse_policies.facts.resources import Resource
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

TODAY = datetime.date(2026, 11, 21)
STACK = "pulumi:pulumi:Stack"
LEVELS = {
    "advisory": messages.ADVISORY,
    "mandatory": messages.MANDATORY,
    "disabled": messages.DISABLED,
    "remediate": messages.REMEDIATE,
}


class Engine:
    """One run of one pack. `levels` is as in a configuration file; what it doesn't name is mandatory."""

    def __init__(
        self,
        pack: PackName = "security",
        *,
        waivers: Path = Path("none.yaml"),
        config: Mapping[str, str | Mapping[str, object]] | None = None,
    ) -> None:
        self.analyzer = Analyzer(f"langfuse-{pack}", *policies(pack, waivers, TODAY))
        if config:
            self.analyzer.Configure(messages.ConfigureAnalyzerRequest(policyConfig=_configured(config)))

    def judge(self, *resources: Resource) -> list[messages.AnalyzeDiagnostic]:
        """Everything that is said about a stack of these resources."""
        stack = resources[0].stack if resources else "prod"
        urn = f"urn:pulumi:{stack}::test::{STACK}::test-{stack}"
        found = list(self.analyzer.Analyze(messages.AnalyzeRequest(type=STACK, name="test", urn=urn)).diagnostics)
        for one in resources:
            found += self.analyzer.Analyze(request(one)).diagnostics
        whole = [
            messages.AnalyzerResource(
                type=one.type, name=one.name, urn=one.urn, properties=_struct(one), options=_options(one)
            )
            for one in resources
        ]
        return [*found, *self.analyzer.AnalyzeStack(messages.AnalyzeStackRequest(resources=whole)).diagnostics]

    def remedied(self, resource: Resource) -> Resource | None:
        """What remedies make of a resource; None when there is nothing to mend."""
        remediations = self.analyzer.Remediate(request(resource)).remediations
        if not remediations:
            return None
        return dataclasses.replace(
            resource, props=resource_of(messages.AnalyzeRequest(properties=remediations[-1].properties)).props
        )


def said_by(policy: str, diagnostics: Sequence[messages.AnalyzeDiagnostic]) -> list[str]:
    """The messages of one policy."""
    return [one.message for one in diagnostics if one.policyName == policy]


def request(one: Resource) -> messages.AnalyzeRequest:
    """What the engine sends of a resource."""
    return messages.AnalyzeRequest(
        type=one.type, name=one.name, urn=one.urn, properties=_struct(one), options=_options(one)
    )


def _options(resource: Resource) -> messages.AnalyzerResourceOptions:
    return messages.AnalyzerResourceOptions(protect=resource.protect, ignoreChanges=resource.ignore_changes)


def _struct(resource: Resource) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(dict(_marked(resource.props)))
    return struct


def _marked(value: Any) -> Any:  # noqa: ANN401  # of any shape
    """With the engine's mark for what is unknown."""
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return value if value is None or isinstance(value, bool | float | str) else UNKNOWN_STRING_VALUE


def _configured(config: Mapping[str, str | Mapping[str, object]]) -> dict[str, messages.PolicyConfig]:
    return dict(_entries(config))


def _entries(config: Mapping[str, str | Mapping[str, object]]) -> Iterator[tuple[str, messages.PolicyConfig]]:
    for rule, given in config.items():
        entry = {"enforcementLevel": given} if isinstance(given, str) else given
        properties = struct_pb2.Struct()
        settings: dict[str, Any] = {key: value for key, value in entry.items() if key != "enforcementLevel"}
        properties.update(settings)
        level = LEVELS[str(entry.get("enforcementLevel", "mandatory"))]
        yield rule, messages.PolicyConfig(enforcementLevel=level, properties=properties)
