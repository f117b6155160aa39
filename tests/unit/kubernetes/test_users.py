"""User and group IDs that the cluster assigns (`langfuse:cluster.users`)."""

from typing import Any

import pulumi
import pytest

from components.kubernetes.stateful_sets import refuse_other_users
from tests.unit.network.test_reachability import ELSEWHERE, OPERATED
from tests.unit.pods import containers, pod_spec, workloads
from tests.unit.program import recorded
from tests.unit.recorder import Registration

IDS = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"}
ASSIGNED = {"cluster": {"users": "namespace"}}


def template(item: Registration) -> dict[str, Any]:
    spec = item.inputs["spec"]
    found: dict[str, Any] = (spec["jobTemplate"]["spec"] if item.kind == "CronJob" else spec)["template"]
    return found


@pytest.mark.parametrize(
    "config",
    [ASSIGNED, {"cluster": {"preset": "openshift"}}, {**OPERATED, **ASSIGNED, "backups": {"offSite": ELSEWHERE}}],
    ids=["by key", "by preset", "with an operator"],
)
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_no_pod_has_an_id_if_the_cluster_assigns_them(profile: str, config: dict[str, Any]) -> None:
    recording = recorded(profile, config)
    assert {item.kind for item in workloads(recording)} == {"CronJob", "Deployment", "Job", "StatefulSet"}
    for item in workloads(recording):
        contexts = [pod_spec(item)["securityContext"], *(one["securityContext"] for one in containers(item))]
        for context in contexts:
            assert not IDS & context.keys(), item.name
            assert context["runAsNonRoot"] is True
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert contexts[0]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert template(item)["metadata"]["annotations"]["openshift.io/required-scc"] == "restricted-v2"
    for cluster in recording.of("Cluster"):  # the operator knows the constraints of OpenShift by itself
        assert not {"postgresUID", "postgresGID"} & cluster.inputs["spec"].keys()


def test_the_preset_can_be_overridden() -> None:
    recording = recorded("dev", {"cluster": {"preset": "openshift", "users": "image"}})
    for item in workloads(recording):
        assert all(one["securityContext"]["runAsUser"] > 0 for one in containers(item))
        assert "openshift.io/required-scc" not in template(item)["metadata"].get("annotations", {})


def test_the_checksums_of_secrets_stay_beside_the_constraint() -> None:
    annotations = [template(item)["metadata"]["annotations"] for item in recorded("dev", ASSIGNED).of("Deployment")]
    assert all(len(found) > 1 for found in annotations)


def test_only_a_user_with_a_name_is_identified_by_peer() -> None:
    def rules(**cluster: str) -> str:
        maps = recorded("dev", {"cluster": cluster}).of("ConfigMap")
        return next(str(item.inputs["data"]["pg_hba.conf"]) for item in maps if "pg_hba.conf" in item.inputs["data"])

    assert "postgres              peer\n" in rules(users="image")
    assert "postgres              trust\n" in rules(users="namespace")
    for users in ("image", "namespace"):
        assert [line for line in rules(users=users).splitlines() if line.startswith("host")] == [
            "host    all        langfuse all       scram-sha-256"
        ]


def update(before: Registration, after: Registration) -> None:
    args = pulumi.ResourceHookArgs("", "", before.name, "", new_inputs=after.inputs, old_inputs=before.inputs)
    refuse_other_users(args)


def test_a_store_with_data_keeps_its_users() -> None:
    of_image, assigned = recorded("prod"), recorded("prod", ASSIGNED)
    for item in of_image.of("StatefulSet"):
        other = next(one for one in assigned.of("StatefulSet") if one.name == item.name)
        with pytest.raises(pulumi.RunError, match=r'langfuse:cluster.users: "namespace" .*; set it to "image"'):
            update(item, other)
        with pytest.raises(pulumi.RunError, match=r'langfuse:cluster.users: "image" .*; set it to "namespace"'):
            update(other, item)
        update(item, item)
        update(other, other)
        assert f"{item.name}-keeps-its-users" in of_image.hooks
