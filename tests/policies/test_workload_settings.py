"""The settings of the policies on workloads: each moves its bound, in both directions."""

from pathlib import Path
from typing import Any

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.fields import UNKNOWN
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged, paths, resource, resources_of

BASES = Path(__file__).parent / "corpus" / "base"


def base(name: str) -> list[Resource]:
    return resources_of((BASES / f"{name}.yaml").read_text())


@pytest.mark.parametrize(
    ("policy", "manifests", "stricter", "right"),
    [
        ("recommended-labels", "web", {"keys": ("cost-centre",)}, {"keys": ("app.kubernetes.io/name",)}),
        ("several-replicas", "web", {"least": 3}, {"least": 2}),
        ("web-drains", "langfuse", {"least_seconds": 600}, {"least_seconds": 110}),
        ("worker-drains", "langfuse", {"least_seconds": 3000, "most_seconds": 4000}, {"least_seconds": 30}),
        ("worker-drains", "langfuse", {"most_seconds": 60}, {"most_seconds": 900}),
        ("keeper-quorum", "langfuse", {"least": 5}, {"least": 1}),
        ("cron-catches-up", "cronjob", {"least_seconds": 7200}, {"least_seconds": 60}),
    ],
)
def test_a_setting_moves_its_bound(
    policy: str, manifests: str, stricter: dict[str, Any], right: dict[str, Any]
) -> None:
    settings = POLICIES[policy].settings
    assert settings is not None
    assert judged(POLICIES[policy], base(manifests), settings.read(stricter))
    assert judged(POLICIES[policy], base(manifests), settings.read(right)) == []


@pytest.mark.parametrize(
    ("policy", "field"), [("numeric-user", "runAsUser"), ("numeric-group", "runAsGroup"), ("volume-group", "fsGroup")]
)
def test_clusters_that_assign_users_are_a_setting(policy: str, field: str) -> None:
    claim = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    contexts: dict[str, Any] = {"runAsUser": 1001, "runAsGroup": 1001, "fsGroup": 1001}
    del contexts[field]
    spec = {"securityContext": contexts, "containers": [{"name": "web"}], "volumes": claim}
    deployment = resource("kubernetes:apps/v1:Deployment", {"spec": {"template": {"spec": spec}}})
    settings = POLICIES[policy].settings
    assert settings is not None
    assert judged(POLICIES[policy], [deployment])
    assert judged(POLICIES[policy], [deployment], settings.read({"always": True})) == []


def web(startup: object, **more: object) -> Resource:
    container = {"name": "web", "image": "langfuse/langfuse:4.16.0", "startupProbe": startup, **more}
    return resource("kubernetes:apps/v1:Deployment", {"spec": {"template": {"spec": {"containers": [container]}}}})


def test_the_time_to_migrate_is_that_of_the_settings() -> None:
    policy = POLICIES["migrations-survive-probes"]
    subject = web({"periodSeconds": 10, "failureThreshold": 60})
    assert policy.settings is not None
    assert judged(policy, subject, policy.settings(budget_seconds=601))
    assert judged(policy, subject, policy.settings(budget_seconds=600)) == []


@pytest.mark.parametrize(
    "subject",
    [
        web({"periodSeconds": UNKNOWN, "failureThreshold": 3}),
        web({"periodSeconds": 5}, env=[{"name": UNKNOWN, "value": "true"}]),
        web({"periodSeconds": 5}, envFrom=[{"configMapRef": {"name": "switches"}}]),
    ],
    ids=["unknown period", "unknown variable", "variables from elsewhere"],
)
def test_web_that_may_have_time_or_not_migrate_is_not_accused(subject: Resource) -> None:
    assert judged(POLICIES["migrations-survive-probes"], subject) == []


def test_an_autoscaler_of_unknown_target_leaves_replicas_unjudged() -> None:
    single = [one for one in base("web") if one.kind != "policy/PodDisruptionBudget"]
    autoscaler = resource(
        "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
        {"metadata": {"namespace": "shop"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": UNKNOWN}}},
    )
    assert judged(POLICIES["disruption-budget"], single)
    assert judged(POLICIES["disruption-budget"], [*single, autoscaler]) == []


def test_replicas_in_what_the_server_returns_count_when_the_program_owns_them() -> None:
    def live(manager: str) -> Resource:
        owned = {"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        metadata = {"namespace": "shop", "name": "web", "uid": "6a-1", "managedFields": [owned]}
        return resource("kubernetes:apps/v1:Deployment", {"metadata": metadata, "spec": {"replicas": 4}})

    autoscaler = resource(
        "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
        {"metadata": {"namespace": "shop"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}},
    )
    policy = POLICIES["autoscaler-owns-replicas"]
    assert paths(judged(policy, [live("pulumi-kubernetes-1a2b"), autoscaler])) == ["spec.replicas"]
    assert judged(policy, [live("kube-controller-manager"), autoscaler]) == []
