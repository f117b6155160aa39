"""What a policy can add by itself: it adds what is missing, leaves what is there, and then finds nothing."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.policy import Policy
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import UNKNOWN, judged, resource, token_of

from tests.policies.engine import Engine, request

NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
PREFIX = "pod-security.kubernetes.io/"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How the engine marks a secret (sdk/go/common/resource/properties.go)."""


def remedied(policy: str, subject: Resource) -> Resource | None:
    return Engine(POLICIES[policy].pack, config={policy: "remediate"}).remedied(subject)


def namespace(**metadata: Any) -> Resource:  # noqa: ANN401  # of any shape
    return resource(NAMESPACE, {"metadata": {"name": "shop", **metadata}})


@pytest.mark.parametrize(
    ("policy", "given", "labels"),
    [
        ("namespace-enforces-restricted", {}, {f"{PREFIX}enforce": "restricted"}),
        ("namespace-warns", {}, {f"{PREFIX}audit": "restricted", f"{PREFIX}warn": "restricted"}),
        (
            "namespace-warns",
            {f"{PREFIX}warn": "restricted"},
            {f"{PREFIX}audit": "restricted", f"{PREFIX}warn": "restricted"},
        ),
        ("namespace-pins-standard", {}, {f"{PREFIX}enforce-version": "v1.36"}),
    ],
)
def test_missing_labels_of_pod_security_are_added(policy: str, given: dict[str, str], labels: dict[str, str]) -> None:
    subject = namespace(**({"labels": given} if given else {}))
    assert judged(POLICIES[policy], subject)
    mended = remedied(policy, subject)
    assert mended is not None
    assert mended.metadata["labels"].value == labels
    assert mended.object_name == "shop"
    assert judged(POLICIES[policy], mended) == []


def test_several_remedies_add_up() -> None:
    policies = [policy.id for policy in POLICIES.values() if policy.remedy and policy.pack == "security"]
    assert len(policies) > 1
    subject: Resource | None = namespace()
    mended = Engine("security", config=dict.fromkeys(policies, "remediate")).remedied(namespace())
    for policy in policies:
        subject = subject and (remedied(policy, subject) or subject)
    assert mended is not None
    assert mended == subject


def test_recommended_labels_are_added_as_far_as_they_are_known() -> None:
    given = {"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/name": "front"}
    mended = remedied("recommended-labels", resource(DEPLOYMENT, {"metadata": {"name": "web-1", "labels": given}}))
    assert mended is not None
    assert mended.metadata["labels"].value == given | {"app.kubernetes.io/managed-by": "pulumi"}


@pytest.mark.parametrize(
    "labels",
    [
        {f"{PREFIX}enforce": "restricted"},
        {f"{PREFIX}enforce": "baseline"},  # somebody's decision: a reviewer's affair
        {f"{PREFIX}enforce": UNKNOWN},
        UNKNOWN,
    ],
    ids=["right", "decided", "unknown", "all unknown"],
)
def test_what_is_there_or_unknown_stays(labels: object) -> None:
    assert remedied("namespace-enforces-restricted", namespace(labels=labels)) is None


def test_what_is_secret_stays_so() -> None:
    metadata = {**SECRET, "value": {"name": "shop", "labels": {**SECRET, "value": {"team": "ours"}}}}
    engine = Engine(config={"namespace-enforces-restricted": "remediate"})
    sent = request(resource(NAMESPACE, {"metadata": metadata}))
    (remedy,) = engine.analyzer.Remediate(sent, None).remediations
    labels = {**SECRET, "value": {"team": "ours", f"{PREFIX}enforce": "restricted"}}
    assert MessageToDict(remedy.properties) == {"metadata": {**SECRET, "value": {"name": "shop", "labels": labels}}}


@pytest.mark.parametrize("props", [{"kind": "Namespace"}, {"metadata": None}, {"metadata": {"labels": None}}])
def test_an_object_without_metadata_gets_its_labels(props: dict[str, Any]) -> None:
    mended = remedied("namespace-enforces-restricted", resource(NAMESPACE, props))
    assert mended is not None
    assert mended.metadata["labels"][f"{PREFIX}enforce"].text == "restricted"


def test_an_object_of_another_kind_stays_as_it_is() -> None:
    subject = resource("pulumi:providers:kubernetes", {"context": "prod"})
    assert remedied("namespace-enforces-restricted", subject) is None
    assert remedied("recommended-labels", subject) is None


@pytest.mark.parametrize(
    "policy", [policy for policy in POLICIES.values() if policy.remedy], ids=lambda policy: policy.id
)
def test_every_remedy_touches_labels_and_annotations_alone(policy: Policy) -> None:
    assert policy.remedy is not None
    for kind in policy.kinds:
        added = policy.remedy(resource(token_of(kind), {"metadata": {}}))
        assert added
        assert set(added) <= {"labels", "annotations"}
