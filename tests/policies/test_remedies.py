"""What a rule can add by itself: it adds what is missing, leaves what is there, and then finds nothing."""

from typing import Any, cast

import pytest
from langfuse_policies.catalogue import RULES
from langfuse_policies.remedies import remedied
from langfuse_policies.resources import Resource
from langfuse_policies.rules import Rule
from langfuse_policies.testing import judged, token_of
from pulumi_policy import PolicyResourceOptions, ResourceValidationArgs
from pulumi_policy.proxy import unknown_checking_proxy

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # what the engine sends for a value that isn't known
NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
PREFIX = "pod-security.kubernetes.io/"


def args(token: str, props: dict[str, Any]) -> ResourceValidationArgs:
    options = PolicyResourceOptions(
        protect=False,
        ignore_changes=[],
        delete_before_replace=None,
        aliases=[],
        custom_timeouts=cast(Any, None),
        additional_secret_outputs=[],
        parent=None,
    )
    proxied = unknown_checking_proxy(props)
    return ResourceValidationArgs(token, proxied, f"urn:pulumi:s::p::{token}::web", "web", options, None)


@pytest.mark.parametrize(
    ("rule", "token", "given", "labels"),
    [
        ("namespace-enforces-restricted", NAMESPACE, {}, {f"{PREFIX}enforce": "restricted"}),
        ("namespace-warns", NAMESPACE, {}, {f"{PREFIX}audit": "restricted", f"{PREFIX}warn": "restricted"}),
        (
            "namespace-warns",
            NAMESPACE,
            {f"{PREFIX}warn": "restricted"},
            {f"{PREFIX}audit": "restricted", f"{PREFIX}warn": "restricted"},
        ),
        ("namespace-pins-standard", NAMESPACE, {}, {f"{PREFIX}enforce-version": "v1.36"}),
    ],
)
def test_missing_labels_of_pod_security_are_added(
    rule: str, token: str, given: dict[str, str], labels: dict[str, str]
) -> None:
    subject = args(token, {"metadata": {"name": "shop", **({"labels": dict(given)} if given else {})}})
    assert judged(RULES[rule], Resource.of(subject))
    assert remedied(RULES[rule], subject) is not None
    assert Resource.of(subject).metadata["labels"].value == labels
    assert judged(RULES[rule], Resource.of(subject)) == []


def test_recommended_labels_are_added_as_far_as_they_are_known() -> None:
    rule = RULES["recommended-labels"]
    given = {"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/name": "front"}
    subject = args(DEPLOYMENT, {"metadata": {"name": "web-1", "labels": given}})
    assert remedied(rule, subject) is not None
    assert Resource.of(subject).metadata["labels"].value == {
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/name": "front",
        "app.kubernetes.io/managed-by": "pulumi",
    }


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
    subject = args(NAMESPACE, {"metadata": {"name": "shop", "labels": labels}})
    assert remedied(RULES["namespace-enforces-restricted"], subject) is None


def test_an_object_without_metadata_gets_its_labels() -> None:
    subject = args(NAMESPACE, {"kind": "Namespace"})
    assert remedied(RULES["namespace-enforces-restricted"], subject) is not None
    assert Resource.of(subject).metadata["labels"][f"{PREFIX}enforce"].text == "restricted"


def test_an_object_of_another_kind_stays_as_it_is() -> None:
    subject = args("pulumi:providers:kubernetes", {"context": "prod"})
    assert remedied(RULES["namespace-enforces-restricted"], subject) is None
    assert remedied(RULES["recommended-labels"], subject) is None


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.remedy], ids=lambda rule: rule.id)
def test_every_remedy_touches_labels_and_annotations_alone(rule: Rule) -> None:
    assert rule.remedy is not None
    for kind in rule.kinds:
        token = token_of(kind)
        added = rule.remedy(Resource.of(args(token, {"metadata": {}})))
        assert added
        assert set(added) <= {"labels", "annotations"}
