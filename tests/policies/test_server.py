"""The calls that the engine makes, and answers as Pulumi's policy SDK gives them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from langfuse_policies.catalogue import RULES
from langfuse_policies.engine.protocol import analyzer_pb2 as messages
from langfuse_policies.engine.server import Calls
from langfuse_policies.testing import resource
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerStub
from pulumi_policy import (
    EnforcementLevel,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
)
from pulumi_policy import policy as sdk

from tests.policies.engine import TODAY, Engine, request

POLICIES = Path(__file__).parents[2] / "policies"
RULE = "namespace-enforces-restricted"
REMEDIATE = messages.ConfigureAnalyzerRequest(
    policyConfig={RULE: messages.PolicyConfig(enforcementLevel=messages.REMEDIATE)}
)

Serve = Callable[[Path], AnalyzerStub]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves the security pack with these waivers."""
    with ExitStack() as ended:

        def start(waivers: Path) -> AnalyzerStub:
            server = grpc.server(ThreadPoolExecutor(1))
            server.add_generic_rpc_handlers([Calls(Engine("security", waivers=waivers).analyzer)])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            ended.callback(server.stop, None)
            return AnalyzerStub(ended.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}")))

        yield start


def asked(kind: str) -> messages.AnalyzeRequest:
    token = f"kubernetes:{kind}"
    return messages.AnalyzeRequest(type=token, name="shop", urn=f"urn:pulumi:prod::test::{token}::shop")


def test_a_pack_remediates_only_when_it_is_configured_to(serve: Serve) -> None:
    pack = serve(Path("none.yaml"))
    with pytest.raises(grpc.RpcError) as refused:
        pack.Remediate(asked("core/v1:Namespace"))
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED

    pack.Configure(REMEDIATE)
    (remedy,) = pack.Remediate(asked("core/v1:Namespace")).remediations
    assert remedy.policyName == RULE
    assert not pack.Remediate(asked("core/v1:Service")).remediations


def test_what_is_waived_is_not_changed(serve: Serve, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"- {{rule: {RULE}, resource: '*/core/Namespace/shop', reason: its own, owner: me, expires: {TODAY}}}"
    )
    pack = serve(waivers)
    pack.Configure(REMEDIATE)
    assert not pack.Remediate(asked("core/v1:Namespace")).remediations


@pytest.mark.parametrize("id", ["no-privileged-container", "allowed-registries"])
def test_a_policy_answers_as_one_of_the_sdk_would(id: str) -> None:  # noqa: A002  # the rule's id
    rule = RULES[id]
    container = {"name": "main", "image": "example.net/x", "securityContext": {"privileged": True}}
    pod = resource("kubernetes:core/v1:Pod", {"spec": {"containers": [container]}})

    def validate(_args: ResourceValidationArgs, report: ReportViolation) -> None:
        for one in rule.on(pod):
            report(f"{one.message}. {rule.fix}", None)

    ours = Engine(rule.pack, config={id: "mandatory"}).analyzer
    framework, _, specification = rule.also_in[0].partition(": ")
    servicer: Any = sdk._PolicyAnalyzerServicer
    theirs = servicer(
        f"langfuse-{rule.pack}",
        "0.0.1",
        [
            ResourceValidationPolicy(
                name=id,
                description=f"{rule.title}. {rule.why}",
                validate=validate,
                display_name=rule.title,
                severity=Severity(rule.severity.value),
                framework=PolicyComplianceFramework(name=framework, specification=specification or None),
                tags=[rule.topic, rule.reference, *rule.also_in],
                remediation_steps=rule.fix,
                url=f"docs/policies.md#{id}",
                config_schema=PolicyConfigSchema(properties=rule.settings.schema()) if rule.settings else None,
            )
        ],
        EnforcementLevel.ADVISORY,
    )
    (told,) = (policy for policy in ours.GetAnalyzerInfo(Empty()).policies if policy.name == id)
    assert MessageToDict(told) == MessageToDict(theirs.GetAnalyzerInfo(None, None).policies[0])

    level = messages.PolicyConfig(enforcementLevel=messages.MANDATORY)
    theirs.Configure(messages.ConfigureAnalyzerRequest(policyConfig={id: level}), None)
    found = [MessageToDict(one) for one in ours.Analyze(request(pod)).diagnostics if one.policyName == id]
    assert found
    assert found == [MessageToDict(one) for one in theirs.Analyze(request(pod), None).diagnostics]


def test_a_pack_starts_without_pulumis_sdk() -> None:
    """Every preview waits for the packs."""
    path = f"import sys; sys.path.insert(0, {str(POLICIES)!r})"
    script = f"{path}; import langfuse_policies.engine.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {"pulumi", "pulumi_policy", "pydantic"} & set(done.stdout.split())
