from __future__ import annotations

from pathlib import Path

import pytest

from operations.changes.events import holds_data, observe
from operations.changes.guard import Acknowledgement, acknowledgements, judge, resource_of
from operations.changes.model import Action, Change
from operations.errors import OperationError
from tests.unit.operations.changes.engine_events import CLAIM, SECRET, Json, step, urn

STATEFUL = [
    "kubernetes:core/v1:Namespace",
    "kubernetes:core/v1:PersistentVolumeClaim",
    "kubernetes:core/v1:PersistentVolume",
    "kubernetes:core/v1:Secret",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1beta2:StatefulSet",
    "kubernetes:postgresql.cnpg.io/v1:Cluster",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
    "random:index/randomPassword:RandomPassword",
    "random:index/randomBytes:RandomBytes",
    "tls:index/privateKey:PrivateKey",
    "pulumi-python:dynamic/langfuse:Bucket",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketV2:BucketV2",
    "gcp:storage/bucket:Bucket",
    "azure-native:storage:BlobContainer",
    "kubernetes:acid.zalan.do/v1:postgresql",
    "kubernetes:clickhouse.altinity.com/v1:ClickHouseInstallation",
    "kubernetes:minio.min.io/v2:Tenant",
    "kubernetes:external-secrets.io/v1:ExternalSecret",
]
SERVER = "kubernetes:apps/v1:StatefulSet"
STATELESS = [
    "kubernetes:apps/v1:Deployment",
    "kubernetes:batch/v1:Job",
    "kubernetes:batch/v1:CronJob",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:core/v1:Service",
    "kubernetes:core/v1:ServiceAccount",
    "kubernetes:networking.istio.io/v1:VirtualService",
    "kubernetes:core/v1:SecretPatch",
    "random:index/randomPet:RandomPet",
    "tls:index/selfSignedCert:SelfSignedCert",
]


def change(action: Action, kind: str = CLAIM, name: str = "data") -> Change:
    return Change(urn=urn(kind, name), action=action, holds_data=holds_data(kind, {}))


def meant(action: str = "replace", resource: str = f"{CLAIM}::data", stack: str = "dev") -> Acknowledgement:
    entry = {"stack": stack, "resource": resource, "action": action, "reason": "a faster class"}
    return Acknowledgement.model_validate(entry)


@pytest.mark.parametrize("action", ["replace", "delete"])
@pytest.mark.parametrize("kind", STATEFUL)
def test_a_loss_of_what_holds_data_is_refused(kind: str, action: Action) -> None:
    loss = change(action, kind)
    assert judge("dev", [loss], []).refused == (loss,)


@pytest.mark.parametrize("action", ["create", "update"])
@pytest.mark.parametrize("kind", STATEFUL)
def test_what_holds_data_may_be_made_and_changed(kind: str, action: Action) -> None:
    assert judge("dev", [change(action, kind)], []).refused == ()


@pytest.mark.parametrize("kind", STATELESS)
def test_what_holds_no_data_may_go(kind: str) -> None:
    assert judge("dev", [change("replace", kind), change("delete", kind)], []).refused == ()


@pytest.mark.parametrize(
    ("kind", "inputs", "lost"),
    [
        (SERVER, {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}, True),
        (SERVER, {"spec": {"template": {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "a"}}]}}}}, True),
        (SERVER, {"spec": {"template": {"spec": {"volumes": [{"emptyDir": {}}]}}}}, False),
        (SECRET, {"type": "Opaque"}, True),
        (SECRET, {"type": "kubernetes.io/tls"}, False),
    ],
)
def test_a_server_without_a_volume_or_a_certificate_may_go(kind: str, inputs: Json, *, lost: bool) -> None:
    """As the policy packs judge them."""
    changes = observe([step("delete", kind, "some", old=inputs)]).changes
    assert bool(judge("dev", changes, []).refused) == lost


@pytest.mark.parametrize("resource", [f"{CLAIM}::data", urn(CLAIM, "data")])
def test_a_loss_that_is_acknowledged_by_name_may_happen(resource: str) -> None:
    verdict = judge("dev", [change("replace")], [meant(resource=resource)])
    assert verdict.refused == ()
    assert verdict.acknowledged == (change("replace"),)
    assert verdict.unused == ()


@pytest.mark.parametrize(
    "known",
    [meant("delete"), meant(stack="prod"), meant(resource=f"{CLAIM}::other"), meant(resource="v1:Secret::data")],
    ids=["another action", "another stack", "another name", "another kind"],
)
def test_an_acknowledgement_covers_nothing_else(known: Acknowledgement) -> None:
    assert judge("dev", [change("replace")], [known]).refused == (change("replace"),)


def test_an_acknowledgement_that_nothing_needs_is_named_for_its_own_stack() -> None:
    known = [meant("delete"), meant(stack="prod")]
    assert judge("dev", [], known).unused == (f"delete of {CLAIM}::data",)


def test_the_name_that_the_report_gives_is_the_one_to_acknowledge() -> None:
    loss = change("delete", "random:index/randomPassword:RandomPassword", "a::b")
    assert judge("dev", [loss], [meant("delete", resource_of(loss))]).refused == ()


def test_what_goes_with_an_acknowledged_claim_needs_no_entry_and_may_have_one() -> None:
    claim = change("replace")
    server = change("replace", SERVER, "db").model_copy(update={"follows": claim.urn})
    assert judge("dev", [claim, server], []).refused == (claim,)
    assert judge("dev", [claim, server], [meant()]).refused == ()
    own = meant(resource=resource_of(server))
    verdict = judge("dev", [claim, server], [meant(), own])
    assert (verdict.refused, verdict.unused, verdict.acknowledged) == ((), (), (claim,))


def test_a_server_that_is_replaced_by_itself_is_a_loss() -> None:
    assert judge("dev", [change("replace"), change("replace", SERVER, "db")], [meant()]).refused == (
        change("replace", SERVER, "db"),
    )


def test_without_a_file_nothing_is_acknowledged(tmp_path: Path) -> None:
    assert acknowledgements(tmp_path / "none.yaml") == []


def test_an_empty_file_acknowledges_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert acknowledgements(tmp_path / "empty.yaml") == []


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(f"- {{stack: dev, resource: '{CLAIM}::data', action: replace, reason: a faster class}}\n")
    assert acknowledgements(file) == [meant()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stack: dev", "must be a list"),
        ("- dev", "entry 1: must have the keys"),
        ("- {stack: dev, resource: 'a::b', action: replace}", "entry 1: reason is required"),
        ("- {stack: dev, resource: 'a::b', action: replace, reason: ' '}", "entry 1: reason is empty"),
        ("- {stack: dev, resource: 'a::b', action: drop, reason: x}", "entry 1: action must be 'replace' or 'delete'"),
        ("- {stack: dev, resource: data, action: delete, reason: x}", "entry 1: resource is not `type::name`"),
        ("- {stack: 1, resource: 'a::b', action: delete, reason: x}", "entry 1: stack must be text"),
        ("- {stack: d, resource: 'a::b', action: delete, reason: x, by: y}", "entry 1: by is not a known key"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_by_entry_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "acknowledged.yaml"
    file.write_text(text)
    with pytest.raises(OperationError) as refused:
        acknowledgements(file)
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_every_problem_of_the_file_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "acknowledged.yaml"
    file.write_text("- {stack: dev}\n- {stack: dev, resource: 'a::b', action: delete, reason: ''}\n")
    with pytest.raises(OperationError) as refused:
        acknowledgements(file)
    lines = str(refused.value).splitlines()
    places = [line.strip().split(": ")[:2] for line in lines[1:]]
    assert places == [["line 1", "entry 1"]] * 3 + [["line 2", "entry 2"]]
