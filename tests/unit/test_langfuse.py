import json
from typing import Any

import pytest

from components.kubernetes.names import base_name, content_name
from tests.unit.pods import containers, pod_spec, variables, workloads
from tests.unit.program import recorded
from tests.unit.recorder import Recording, Registration, random_value

PROFILES = ("dev", "preview", "staging", "prod")
CRON_JOBS = (
    *("backup-clickhouse", "backup-postgres", "drill-clickhouse", "drill-postgres", "repair-schema", "replay-events"),
    *("restore-clickhouse", "restore-postgres"),
    *("retention", "verify-backups"),
)
BEFORE_UPGRADE = "langfuse-backup-before-upgrade"
STATEFUL = {"StatefulSet", "PersistentVolumeClaim", "Namespace", "RandomPassword"}


def stack(profile: str = "dev", **config: object) -> Recording:
    return recorded(profile, config)


def changed(before: Recording, after: Recording) -> set[tuple[str, str]]:
    """Kind and name of every Kubernetes resource that an update from one to the other changes."""
    old, new = ({(item.kind, item.stable_name): item.inputs for item in it if item.custom} for it in (before, after))
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


@pytest.fixture(scope="module", params=PROFILES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return stack(request.param)


def test_a_stack_has_every_workload(recording: Recording) -> None:
    names = {(item.kind, item.inputs.get("metadata", {}).get("name", item.name)) for item in workloads(recording)}
    nodes = next(item.inputs["spec"]["replicas"] for item in recording.of("StatefulSet") if "object-store" in item.name)
    stores = ("clickhouse", "keeper", "object-store-cluster" if nodes > 1 else "object-store", "postgres", "redis")
    assert names == {
        *(("StatefulSet", f"langfuse-{store}") for store in stores),
        *(("Deployment", f"langfuse-{name}") for name in ("web", "worker")),
        *(("Job", f"langfuse-{name}") for name in ("migrations", "first-start", "object-store-provisioning")),
        *([] if recording.one("Langfuse").inputs["profile"] == "preview" else [("Job", BEFORE_UPGRADE)]),
        *(("CronJob", f"langfuse-{name}") for name in CRON_JOBS),
    }
    host = f"{recording.one('Langfuse').inputs['profile']}.example.com"
    assert recording.one("VirtualService").inputs["spec"]["hosts"] == [host]


def test_every_object_is_in_the_namespace_and_a_child_of_a_component(recording: Recording) -> None:
    namespace = recording.one("Namespace", recording.one("Langfuse").inputs["namespace"]).inputs["metadata"]["name"]
    components = {item.name for item in recording if not item.custom}
    for item in recording:
        if item.type.startswith("kubernetes:") and item.kind != "Namespace":
            assert item.inputs["metadata"]["namespace"] == namespace, item.name
        if item.custom:
            assert item.parent in components, item.name


def test_no_object_has_a_random_name(recording: Recording) -> None:
    """An update that is repeated after an interruption must find the objects of the first attempt."""
    for item in recording:
        if item.type.startswith("kubernetes:") and item.custom:
            assert item.inputs["metadata"]["name"], item.name


def test_an_immutable_config_map_is_named_after_its_content(recording: Recording) -> None:
    """Its resource as well: a replacement could collide with the object that a failed update left behind."""
    found = {item.name: item.inputs for item in recording.of("ConfigMap") if item.inputs.get("immutable")}
    assert found
    for name, inputs in found.items():
        assert name == inputs["metadata"]["name"] == content_name(base_name(name), inputs["data"])
    others = [item for item in recording.of("ConfigMap") if not item.inputs.get("immutable")]
    assert [item.name for item in others] == ["langfuse-keeper-quorum"]


def test_pods_mount_every_config_map_and_no_other(recording: Recording) -> None:
    there = {item.inputs["metadata"]["name"] for item in recording.of("ConfigMap")}
    mounted: set[str] = set()
    for item in workloads(recording):
        for volume in pod_spec(item).get("volumes", []):
            sources = [volume, *volume.get("projected", {}).get("sources", [])]
            mounted |= {source["configMap"]["name"] for source in sources if "configMap" in source}
    assert mounted == there


def test_every_container_is_restricted(recording: Recording) -> None:
    for item in workloads(recording):
        assert pod_spec(item)["automountServiceAccountToken"] is False
        assert pod_spec(item)["serviceAccountName"].startswith("langfuse-")
        assert pod_spec(item)["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        for container in containers(item):
            context = container["securityContext"]
            assert context["runAsNonRoot"] is True, (item.name, container["name"])
            assert context["runAsUser"] > 0
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_container_has_requests_and_limits(recording: Recording) -> None:
    for item in workloads(recording):
        for container in containers(item):
            for bound in ("requests", "limits"):
                assert container["resources"][bound].keys() == {"cpu", "memory", "ephemeral-storage"}, item.name


def test_every_server_has_three_probes(recording: Recording) -> None:
    for item in workloads(recording):
        for container in pod_spec(item)["containers"]:
            serves = item.kind in {"Deployment", "StatefulSet"}
            probes = {"startupProbe", "readinessProbe", "livenessProbe"} & container.keys()
            assert len(probes) == (3 if serves else 0), item.name


def test_every_volume_is_mounted_and_limited_in_size(recording: Recording) -> None:
    for item in workloads(recording):
        claims = {claim["metadata"]["name"] for claim in item.inputs["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"]: volume for volume in pod_spec(item).get("volumes", [])}
        mounted = {mount["name"] for container in containers(item) for mount in container["volumeMounts"]}
        assert mounted == volumes.keys() | claims, item.name
        for volume in volumes.values():
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), item.name
            assert "hostPath" not in volume


def test_images_are_pinned_to_a_release(recording: Recording) -> None:
    for item in workloads(recording):
        for container in containers(item):
            tag = container["image"].rsplit(":", 1)[1]
            assert any(character.isdigit() for character in tag)
            assert len(tag) > 3, container["image"]


def test_resources_with_data_are_protected_in_staging_and_prod() -> None:
    for profile in PROFILES:
        for item in stack(profile):
            expected = item.custom and item.kind in STATEFUL | {"Secret"} and profile in {"staging", "prod"}
            assert (item.protect, item.retain_on_delete) == (expected, expected), (profile, item.name)


def test_every_pod_waits_for_the_default_deny_policies() -> None:
    guards = {"langfuse-default-deny", "langfuse-mutual-tls", "langfuse-allow-nothing"}
    for profile in PROFILES:
        for item in workloads(stack(profile)):
            assert guards <= item.dependencies, (profile, item.name)


def test_volumes_are_deleted_before_the_credentials_that_their_data_needs() -> None:
    tied = {"langfuse-postgres", "langfuse-encryption", "langfuse-object-store-encryption"}
    for profile in PROFILES:
        recording = stack(profile)
        claims = recording.of("PersistentVolumeClaim")
        for store in ("postgres", "object-store"):
            volumes = [item for item in claims if store in item.name]
            assert volumes
            assert all(tied <= item.dependencies for item in volumes), (profile, store)


def test_credentials_are_only_in_secrets(recording: Recording) -> None:
    generated = {random_value(item.name, item.inputs["length"]) for item in recording.of("RandomPassword")}
    for item in recording:
        if item.kind != "Secret":
            text = json.dumps(item.inputs)
            assert not [value for value in generated if value in text], item.name
            assert not item.secrets, item.name


def test_migrations_run_after_the_stores_and_before_the_application(recording: Recording) -> None:
    for name in ("langfuse-web", "langfuse-worker"):
        waits_for = recording.one("Deployment", name).dependencies
        assert {"langfuse-migrations", "langfuse-redis", "langfuse-object-store-provisioning"} <= waits_for
    stores = {"langfuse-postgres", "langfuse-clickhouse", "langfuse-keeper"}
    migrations = recording.one("Job", "langfuse-migrations").dependencies
    assert stores <= migrations
    for before in (item for item in recording.of("Job") if item.name == BEFORE_UPGRADE):
        assert before.name in migrations
        assert stores <= before.dependencies


@pytest.mark.parametrize(
    ("before", "after", "refused_by"),
    [
        ({"postgres": {"version": "17.10"}}, {"postgres": {"version": "18.4"}}, "langfuse-postgres"),
        ({"clickhouse": {"keepers": 3}}, {"clickhouse": {"keepers": 1}}, "langfuse-keeper-quorum"),
    ],
)
def test_what_is_refused_in_an_update_changes_nothing(
    before: dict[str, Any], after: dict[str, Any], refused_by: str
) -> None:
    """One resource refuses such a change. All others that it would change wait for that one."""
    old, new = stack(**before), stack(**after)
    updated = changed(old, new) & {(item.kind, item.name) for item in old if item.custom}
    others = [item for item in new if (item.kind, item.name) in updated and item.name != refused_by]
    assert others
    assert [item.name for item in others if refused_by not in item.dependencies] == []


def test_a_new_version_changes_only_the_application_and_its_migration() -> None:
    updated = changed(stack(version="4.16.0"), stack(version="4.16.1"))
    assert updated == {
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        ("Job", BEFORE_UPGRADE),
        ("Job", "langfuse-first-start"),
        ("Job", "langfuse-migrations"),
        # Steps of backups run in the worker's image.
        *(("CronJob", f"langfuse-{name}") for name in CRON_JOBS),
    }


def test_changed_application_settings_do_not_run_the_migrations() -> None:
    updated = changed(stack(), stack(application={"logLevel": "debug"}))
    assert updated == {
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        ("Job", "langfuse-first-start"),
    }


def test_only_the_first_start_job_creates_the_first_organization() -> None:
    """Several servers that create it at once violate each other's constraints and answer every request with 500."""
    for profile in PROFILES:
        recording = stack(profile)
        readers = {
            item.name
            for item in workloads(recording)
            for container in containers(item)
            if any(name.startswith("LANGFUSE_INIT_") for name in variables(container))
        }
        assert readers == {"langfuse-first-start"}
        job = recording.one("Job", "langfuse-first-start")
        assert job.inputs["spec"]["completions"] == job.inputs["spec"]["parallelism"] == 1
        assert {"langfuse-migrations", "langfuse-redis"} <= job.dependencies
        assert job.name in recording.one("Deployment", "langfuse-web").dependencies


def test_the_first_start_runs_again_when_its_settings_change() -> None:
    job = ("Job", "langfuse-first-start")
    for change in ({"ownerEmail": "new@example.com"}, {"project": "Other"}):
        assert changed(stack(), stack(firstStart=change)) == {job}
    keys = "checksum/langfuse-first-start"
    for (kind, name), reads in ((job, True), (("Deployment", "langfuse-web"), False)):
        annotations = stack().one(kind, name).inputs["spec"]["template"]["metadata"]["annotations"]
        assert (keys in annotations) == reads


def test_a_rollout_allows_for_one_failed_start(recording: Recording) -> None:
    """The startup probe restarts the server before the Deployment's deadline."""
    for deployment in recording.of("Deployment"):
        startup = containers(deployment)[0]["startupProbe"]
        deadline = deployment.inputs["spec"]["progressDeadlineSeconds"]
        assert 2 * startup["periodSeconds"] * startup["failureThreshold"] < deadline


def test_more_memory_for_redis_changes_only_redis() -> None:
    updated = changed(stack(), stack(redis={"resources": {"memory": "1Gi"}}))
    assert updated == {("StatefulSet", "langfuse-redis"), ("ConfigMap", "langfuse-redis-config")}


def test_grace_periods_are_long_enough_for_a_clean_shutdown(recording: Recording) -> None:
    grace = {item.name: pod_spec(item)["terminationGracePeriodSeconds"] for item in workloads(recording)}
    assert grace["langfuse-web"] >= 120
    careful = recording.one("Langfuse").inputs["profile"] in {"staging", "prod"}
    assert grace["langfuse-worker"] >= (300 if careful else 60)
    assert grace["langfuse-clickhouse"] >= 60


def test_a_store_outage_of_half_an_hour_does_not_restart_the_worker(recording: Recording) -> None:
    """Every health path of the worker pings Postgres and Redis first (worker/src/features/health/index.ts)."""
    (worker,) = containers(recording.one("Deployment", "langfuse-worker"))
    liveness = worker["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 1800
    assert worker["startupProbe"]["httpGet"] == {"path": "/", "port": 3030}  # worker/src/app.ts: queries no store


def test_a_disruption_budget_exists_only_above_one_replica() -> None:
    def programs(items: list[Registration]) -> set[str]:
        return {item.inputs["metadata"]["labels"]["app.kubernetes.io/name"] for item in items}

    for profile in PROFILES:
        recording = stack(profile)
        pods = [*recording.of("Deployment"), *recording.of("StatefulSet")]
        several = programs([item for item in pods if item.inputs["spec"]["replicas"] > 1])
        assert programs(recording.of("PodDisruptionBudget")) == several, profile
        assert ("redis" in several) == (profile == "prod")


def test_without_ingress_there_are_no_istio_resources() -> None:
    assert not [item.name for item in stack(ingress={"kind": "none"}) if "istio.io" in item.type]


def test_objects_are_labelled_with_environment_and_owner() -> None:
    for item in stack("preview", owner="data-platform"):
        if item.type.startswith("kubernetes:") and item.custom:
            labels = item.inputs["metadata"]["labels"]
            assert (labels["environment"], labels["owner"]) == ("preview", "data-platform"), item.name
        if item.kind in {"Deployment", "StatefulSet", "Job"}:
            assert item.inputs["spec"]["template"]["metadata"]["labels"]["environment"] == "preview", item.name


def test_stateful_sets_retain_their_volumes(recording: Recording) -> None:
    for item in recording.of("StatefulSet"):
        kept = item.inputs["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}, item.name


def test_the_namespace_enforces_the_restricted_standard(recording: Recording) -> None:
    labels = next(item for item in recording.of("Namespace") if item.custom).inputs["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_an_existing_namespace_is_used_without_managing_it() -> None:
    theirs = stack(createNamespace=False)
    assert not [item for item in theirs.of("Namespace") if item.custom]
    assert changed(stack(), theirs) == {("Namespace", "langfuse-dev")}


def test_objects_wait_for_an_existing_namespace() -> None:
    theirs = stack(createNamespace=False)
    assert "langfuse-dev" in theirs.one("NetworkPolicy", "langfuse-default-deny").dependencies


def test_there_is_one_provider_with_server_side_apply(recording: Recording) -> None:
    provider = recording.one("kubernetes", "cluster")
    assert provider.inputs["enableServerSideApply"] in {True, "true"}


def test_the_cluster_identifier_does_not_depend_on_settings_and_never_changes() -> None:
    def provider(**cluster: str) -> Registration:
        return stack(cluster=cluster).one("kubernetes", "cluster")

    found = [provider(), provider(context="a"), provider(context="b", kubeconfig="/x")]
    assert {item.inputs["clusterIdentifier"] for item in found} == {"langfuse-dev"}
    assert all(item.ignore_changes == {"clusterIdentifier"} for item in found)


def test_stores_admit_only_their_clients(recording: Recording) -> None:
    for store in ("postgres", "redis", "clickhouse", "keeper", "object-store"):
        spec = recording.one("NetworkPolicy", f"langfuse-allow-{store}-ingress").inputs["spec"]
        assert all(rule["from"] and rule["ports"] for rule in spec["ingress"])
    deny = recording.one("NetworkPolicy", "langfuse-default-deny").inputs["spec"]
    assert (deny["podSelector"], deny["policyTypes"]) == ({}, ["Ingress", "Egress"])


def test_pods_cannot_reach_the_metadata_service(recording: Recording) -> None:
    spec = recording.one("NetworkPolicy", "langfuse-allow-internet-egress").inputs["spec"]
    denied = ["169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32"]  # all clouds, Alibaba Cloud, Azure
    assert spec["egress"][0]["to"][0]["ipBlock"]["except"] == denied


def test_the_storage_class_applies_to_new_volumes_only() -> None:
    def classes(found: Recording) -> set[object]:
        return {item.inputs["spec"].get("storageClassName") for item in found.of("PersistentVolumeClaim")}

    found = stack(cluster={"storageClass": "encrypted"})
    assert classes(found) == {"encrypted"}
    assert all("spec.storageClassName" in item.ignore_changes for item in found.of("PersistentVolumeClaim"))
    assert classes(stack()) == {None}
    operated = stack(cluster={"storageClass": "encrypted"}, postgres={"mode": "cloudnativepg"}).one("Cluster")
    assert operated.inputs["spec"]["storage"]["storageClass"] == "encrypted"


def test_egress_to_the_internet_follows_the_configured_ranges() -> None:
    def ranges(*allowed: str) -> list[dict[str, Any]]:
        found = [
            item.inputs["spec"].get("egress") or []
            for item in stack(network={"internet": allowed}).of("NetworkPolicy")
            if item.name.removesuffix("-ipv6") == "langfuse-allow-internet-egress"
        ]
        assert found
        return sorted((peer["ipBlock"] for rules in found for rule in rules for peer in rule["to"]), key=str)

    assert ranges("203.0.113.0/24", "2001:db8::/32") == [{"cidr": "2001:db8::/32"}, {"cidr": "203.0.113.0/24"}]
    assert ranges("168.0.0.0/6") == [{"cidr": "168.0.0.0/6", "except": ["169.254.0.0/16", "168.63.129.16/32"]}]
    assert ranges() == []


def test_dns_egress_is_allowed_only_to_the_configured_servers() -> None:
    def egress(**dns: object) -> list[dict[str, Any]]:
        found = stack(cluster={"dns": dns}).one("NetworkPolicy", "langfuse-allow-dns-egress").inputs["spec"]
        return found.get("egress") or []

    (openshift,) = egress(namespaces=["openshift-dns"], ranges=[], ports=[5353])
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}
    assert openshift["to"] == [{"namespaceSelector": selector}]
    assert openshift["ports"] == [{"port": 5353, "protocol": "TCP"}, {"port": 5353, "protocol": "UDP"}]
    (addresses,) = egress(namespaces=[], ranges=["169.254.25.10/32", "10.96.0.10/32", "fd00:10:96::a/128"])
    assert [peer["ipBlock"] for peer in addresses["to"]] == [
        {"cidr": "169.254.25.10/32"},
        {"cidr": "10.96.0.10/32"},
    ]
    assert egress(namespaces=[], ranges=[]) == []  # a rule without destinations would allow every destination


def test_an_allowed_gateway_in_the_cluster_can_be_reached_only_at_its_port() -> None:
    labels = {"app.kubernetes.io/name": "litellm"}
    gateway = {"namespace": "gateway", "labels": labels, "port": 4000}
    targets = {"hosts": ["litellm.gateway.svc.cluster.local"], "pods": [gateway]}
    spec = stack(allowedTargets={"llm": targets}).one("NetworkPolicy", "langfuse-allow-targets-egress").inputs["spec"]
    (names,) = spec["podSelector"]["matchExpressions"]
    assert (names["key"], sorted(names["values"])) == ("app.kubernetes.io/name", ["web", "worker"])
    (rule,) = spec["egress"]
    assert [port["port"] for port in rule["ports"]] == [
        4000,
        15008,
    ]  # an ambient mesh tunnels the connections between pods
    (peer,) = rule["to"]  # one peer with both selectors: pods with these labels in that namespace
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}
    assert peer["podSelector"] == {"matchLabels": labels}


def test_without_allowed_pods_there_is_no_policy_for_them(recording: Recording) -> None:
    assert "langfuse-allow-targets-egress" not in {item.name for item in recording.of("NetworkPolicy")}


def test_port_names_have_at_most_15_characters(recording: Recording) -> None:
    for item in workloads(recording):
        for container in containers(item):
            assert all(len(port["name"]) <= 15 for port in container.get("ports", [])), item.name


def test_an_autoscaler_controls_the_number_of_replicas() -> None:
    scaled = stack(web={"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})
    web, worker = (scaled.one("Deployment", name) for name in ("langfuse-web", "langfuse-worker"))
    assert (web.inputs["spec"]["replicas"], web.ignore_changes) == (2, frozenset({"spec.replicas"}))
    assert worker.ignore_changes == set()
    spec = scaled.one("HorizontalPodAutoscaler", "langfuse-web").inputs["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (2, 5, "langfuse-web")
    assert scaled.one("PodDisruptionBudget", "langfuse-web")
    assert not scaled.of("HorizontalPodAutoscaler")[1:]
