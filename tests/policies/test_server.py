"""The calls that the engine makes over the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from langfuse_policies.server import Calls
from pulumi.runtime.proto import analyzer_pb2 as messages
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerStub

from tests.policies.engine import TODAY, Engine

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
