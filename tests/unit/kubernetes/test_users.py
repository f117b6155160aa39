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


def test_a_build_runs_as_its_own_user_and_its_volumes_have_its_group() -> None:
    builds = {"postgres": {"uid": 26}, "valkey": {"suffix": "-ubi9", "uid": 1001}, "minioClient": {"uid": 12345}}
    recording = recorded("prod", {"images": {"builds": builds}})
    expected = {"docker.io/library/postgres": 26, "docker.io/valkey/valkey": 1001, "quay.io/minio/mc": 12345}
    seen = set()
    for item in workloads(recording):
        users = set()
        for one in containers(item):
            repository = one["image"].rpartition(":")[0]
            context = one["securityContext"]
            assert context["runAsUser"] == context["runAsGroup"], item.name
            assert repository not in expected or context["runAsUser"] == expected[repository], item.name
            users.add(context["runAsUser"])
            seen.add(repository)
        of_pod = pod_spec(item)["securityContext"]
        assert of_pod["fsGroup"] == of_pod["runAsUser"] == of_pod["runAsGroup"]
        assert of_pod["fsGroup"] in users, item.name
    assert expected.keys() <= seen
    assert pod_spec(recording.one("StatefulSet", "langfuse-postgres"))["securityContext"]["fsGroup"] == 26
    rules = [item.inputs["data"].get("pg_hba.conf", "") for item in recording.of("ConfigMap")]
    assert any("postgres              trust\n" in text for text in rules)  # the name of this user is not known


def test_the_user_of_cloudnative_pg_follows_from_its_build() -> None:
    builds = {"images": {"builds": {"cloudnativePg": {"uid": 1001}}}}
    spec = recorded("dev", {**OPERATED, **builds}).one("Cluster").inputs["spec"]
    assert (spec["postgresUID"], spec["postgresGID"]) == (1001, 1001)
    assert "postgresUID" not in recorded("dev", OPERATED).one("Cluster").inputs["spec"]


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


def test_a_store_with_data_keeps_the_user_of_its_build() -> None:
    everything = {key: {"uid": 4242} for key in ("postgres", "clickhouse", "clickhouseKeeper", "valkey", "minio")}
    before, after = recorded("prod"), recorded("prod", {"images": {"builds": everything}})
    for item in before.of("StatefulSet"):
        other = next(one for one in after.of("StatefulSet") if one.name == item.name)
        with pytest.raises(pulumi.RunError, match=r"would run as user 4242 \(uid\), and its data belongs to user \d+;"):
            update(item, other)
    build = {"images": {"builds": {"cloudnativePg": {"uid": 1001}}}}
    operated = recorded("prod", OPERATED)
    own = recorded("prod", {**OPERATED, **build}).one("Cluster")
    with pytest.raises(pulumi.RunError, match=r"would run as user 1001 .* belongs to user 26;"):
        update(operated.one("Cluster"), own)
    update(own, own)
    assert "langfuse-postgres-keeps-its-users" in operated.hooks
