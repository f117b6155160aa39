"""The packs as the engine calls them: the same messages to the SDK's server, in this process."""

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi_policy
from google.protobuf import json_format, struct_pb2
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.packs import pack_policies
from langfuse_policies.engine.policy import PackName
from langfuse_policies.facts.fields import plain
from langfuse_policies.facts.resources import Resource
from pulumi.runtime.proto import analyzer_pb2 as messages
from pulumi_policy import policy as sdk
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

TODAY = datetime.date(2026, 11, 21)
STACK = "pulumi:pulumi:Stack"
LEVELS = {
    "advisory": messages.ADVISORY,
    "mandatory": messages.MANDATORY,
    "disabled": messages.DISABLED,
    "remediate": messages.REMEDIATE,
}


def served(name: str, policies: list[pulumi_policy.Policy]) -> Any:  # noqa: ANN401  # the SDK's server has no types
    """What `PolicyPack` serves."""
    return sdk._PolicyAnalyzerServicer(name, "0.0.1", policies, pulumi_policy.EnforcementLevel.ADVISORY)


class Engine:
    """One run of one pack. `config` is as in a configuration file; a policy that it leaves out is advisory."""

    def __init__(
        self,
        pack: PackName = "security",
        *,
        waivers: Path = Path("none.yaml"),
        config: Mapping[str, str | Mapping[str, object]] | None = None,
    ) -> None:
        self.policies = pack_policies(pack, POLICIES, waivers, TODAY)
        self.analyzer = served(f"langfuse-{pack}", self.policies)
        if config:
            self.configure(config)

    def configure(self, config: Mapping[str, str | Mapping[str, object]]) -> None:
        """Set levels and settings."""
        self.analyzer.Configure(messages.ConfigureAnalyzerRequest(policyConfig=_configured(config)), None)

    def judge(self, *resources: Resource) -> list[messages.AnalyzeDiagnostic]:
        """Everything that is reported about a stack of these resources."""
        stack = resources[0].stack if resources else "prod"
        urn = f"urn:pulumi:{stack}::test::{STACK}::test-{stack}"
        found = list(self.analyzer.Analyze(messages.AnalyzeRequest(type=STACK, name="test", urn=urn), None).diagnostics)
        for one in resources:
            found += self.analyzer.Analyze(request(one), None).diagnostics
        whole = [
            messages.AnalyzerResource(
                type=one.type, name=one.name, urn=one.urn, properties=_struct(one), options=_options(one)
            )
            for one in resources
        ]
        return [*found, *self.analyzer.AnalyzeStack(messages.AnalyzeStackRequest(resources=whole), None).diagnostics]

    def remedied(self, resource: Resource) -> Resource | None:
        """What remedies make of a resource; None when there is nothing to mend."""
        remediations = self.analyzer.Remediate(request(resource), None).remediations
        if not remediations:
            return None
        return dataclasses.replace(resource, props=plain(json_format.MessageToDict(remediations[-1].properties)))


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
    for policy, given in config.items():
        entry = {"enforcementLevel": given} if isinstance(given, str) else given
        properties = struct_pb2.Struct()
        settings: dict[str, Any] = {key: value for key, value in entry.items() if key != "enforcementLevel"}
        properties.update(settings)
        level = LEVELS[str(entry.get("enforcementLevel", "mandatory"))]
        yield policy, messages.PolicyConfig(enforcementLevel=level, properties=properties)
