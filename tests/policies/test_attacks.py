"""What an attacker or a hurried colleague would do to our own production stack, and the policies that see it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from langfuse_policies.facts.fields import plain
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged_all, resource

from components.kubernetes.names import base_name
from tests.unit.program import recorded

CONFIGURATION = Path(__file__).parents[2] / "stacks" / "Pulumi.prod.yaml"

Found = set[tuple[str, str, str]]

DIGEST = "@sha256:" + 64 * "a"
PASSWORD = "Tr0ub4dor-and-3-more"  # noqa: S105  # what somebody pastes


def stable_name(one: Resource) -> str:
    """The name without the hash of the content, where it ends in one."""
    return base_name(one.name) if one.kind == "core/ConfigMap" and one["immutable"].equals(True) else one.name


class Props:
    """The inputs of a stack's resources by kind and name, to be changed."""

    def __init__(self, resources: list[Resource]) -> None:
        self.resources = resources
        self._by_place: dict[str, Any] = {
            f"{one.kind.rpartition('/')[2]}/{stable_name(one)}": one.props for one in resources
        }

    def __getitem__(self, place: str) -> dict[str, Any]:
        """What an object is given, by KIND/NAME."""
        found = self._by_place[place]
        assert isinstance(found, dict)
        return found

    def pod(self, place: str) -> dict[str, Any]:
        """The pod of a workload."""
        spec = self[place]["spec"]
        found = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"]
        assert isinstance(found, dict)
        return found

    def main(self, place: str) -> dict[str, Any]:
        """The first container of a workload."""
        found = self.pod(place)["containers"][0]
        assert isinstance(found, dict)
        return found

    def set_variable(self, place: str, name: str, value: str) -> None:
        """Sets a variable of the first container to a plain value."""
        env = [one for one in self.main(place)["env"] if one["name"] != name]
        self.main(place)["env"] = [*env, {"name": name, "value": value}]

    def unset_variable(self, place: str, name: str) -> None:
        """Removes a variable of the first container."""
        self.main(place)["env"] = [one for one in self.main(place)["env"] if one["name"] != name]

    def script(self, config_map: str, name: str, append: str) -> None:
        """Adds a line to a script or a configuration."""
        self[config_map]["data"][name] += f"\n{append}\n"

    def add(self, token: str, name: str, **props: object) -> None:
        """Adds a resource."""
        self.resources.append(resource(token, {"metadata": {"name": name, "namespace": "langfuse-prod"}, **props}))

    def remove(self, place: str) -> None:
        """Removes a resource."""
        kind, _, name = place.partition("/")
        self.resources = [one for one in self.resources if (one.kind.rpartition("/")[2], one.name) != (kind, name)]


Attack = Callable[[Props], None]


@cache
def ours() -> tuple[Resource, ...]:
    """The stack of stacks/Pulumi.prod.yaml."""
    config = yaml.safe_load(CONFIGURATION.read_text())["config"]
    return tuple(
        resource(
            one.type,
            one.inputs,
            name=one.name,
            protect=one.protect,
            ignore_changes=sorted(one.ignore_changes),
            parent=one.parent,
        )
        for one in recorded("prod", {key.removeprefix("langfuse:"): value for key, value in config.items()})
    )


def found_in(resources: list[Resource]) -> Found:
    return {(policy, one.urn, one.message) for policy, findings in judged_all(resources).items() for one in findings}


@cache
def found_before() -> Found:
    return found_in(list(ours()))


WEB, WORKER = "Deployment/langfuse-web", "Deployment/langfuse-worker"
DUMP, COPY = "CronJob/langfuse-backup-postgres", "CronJob/langfuse-backup-off-site"


def second_container(stack: Props) -> None:
    stack.pod(WEB)["containers"].append({"name": "metrics", "image": f"docker.io/library/busybox:1.37.0{DIGEST}"})


def privileged_sidecar_among_init_containers(stack: Props) -> None:
    sidecar = {**copy.deepcopy(stack.main(WORKER)), "name": "agent", "restartPolicy": "Always"}
    sidecar["securityContext"]["privileged"] = True
    stack.pod(WORKER).setdefault("initContainers", []).append(sidecar)


def debug_container(stack: Props) -> None:
    shell = {**copy.deepcopy(stack.main(WEB)), "name": "shell", "targetContainerName": "web"}
    stack.pod(WEB)["ephemeralContainers"] = [shell]


def secret_in_annotation(stack: Props) -> None:
    stack[WEB]["metadata"]["annotations"] = {"example.com/admin-password": PASSWORD}


def secret_in_args(stack: Props) -> None:
    stack.main(WORKER)["args"] = ["node", "worker/dist/index.js", f"--redis-password={PASSWORD}"]


def secret_in_script(stack: Props) -> None:
    stack.script("ConfigMap/langfuse-backup-postgres-scripts", "backup-postgres.sh", f"export PGPASSWORD={PASSWORD}")


def secret_in_probe(stack: Props) -> None:
    command = ["sh", "-c", f"mc alias set store http://store:9000 root {PASSWORD}"]
    stack.main(WEB)["readinessProbe"] = {"exec": {"command": command}}


def salt_as_literal(stack: Props) -> None:
    for place in (WEB, WORKER):
        stack.set_variable(place, "SALT", "q8Zr2LmVx0Tn5KcW9yHd3Ub7")


def key_of_zeros(stack: Props) -> None:
    secret = stack["Secret/langfuse-encryption"]
    secret["data"] = {}
    secret["stringData"] = {"salt": "q8Zr2LmVx0Tn5KcW9yHd3Ub7q8Zr2Lm", "encryption-key": 64 * "0"}


def another_salt_for_the_worker(stack: Props) -> None:
    reference = {"secretKeyRef": {"name": "langfuse-application", "key": "salt"}}
    stack.unset_variable(WORKER, "SALT")
    stack.main(WORKER)["env"].append({"name": "SALT", "valueFrom": reference})


def host_path_in_projected_volume(stack: Props) -> None:
    stack.pod(WEB)["volumes"].append({"name": "node", "projected": {"sources": [{"hostPath": {"path": "/run"}}]}})


def foreign_registry(stack: Props) -> None:
    stack.main(WEB)["image"] = f"registry.example.org/langfuse/langfuse:4.16.0{DIGEST}"


def mounted_token(stack: Props) -> None:
    stack.pod(WORKER)["automountServiceAccountToken"] = True


def token_in_projected_volume(stack: Props) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    stack.pod(WEB)["volumes"].append({"name": "token", "projected": {"sources": [source]}})


def cluster_admin(stack: Props) -> None:
    stack.add(
        "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
        "for-a-moment",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        subjects=[{"kind": "ServiceAccount", "name": "langfuse-web", "namespace": "langfuse-prod"}],
    )


def media_expire(stack: Props) -> None:
    data = stack["ConfigMap/langfuse-object-store-provisioning-desired-state"]["data"]
    data["media.lifecycle.json"] = data["events.lifecycle.json"]


def media_expire_by_command(stack: Props) -> None:
    name = "ConfigMap/langfuse-object-store-provisioning-scripts"
    command = "mc ilm rule add --expire-days 30 store/langfuse-prod-media"
    stack.script(name, "provision-object-store.sh", command)


def suspended_backup(stack: Props) -> None:
    stack[DUMP]["spec"]["suspend"] = True


def backup_on_a_day_that_never_comes(stack: Props) -> None:
    stack[DUMP]["spec"]["schedule"] = "0 3 31 2 *"


def copies_stay_at_home(stack: Props) -> None:
    for container in stack.pod(COPY)["containers"]:
        for variable in container["env"]:
            if variable["name"] == "OFF_SITE_STORE_URL":
                variable["value"] = "http://langfuse-object-store:9000"


def copies_of_media_alone(stack: Props) -> None:
    stack.pod(COPY)["containers"] = [one for one in stack.pod(COPY)["containers"] if one["name"] == "copy-media"]


def copies_without_media(stack: Props) -> None:
    stack.pod(COPY)["containers"] = [one for one in stack.pod(COPY)["containers"] if one["name"] != "copy-media"]


def admin_api_routed(stack: Props) -> None:
    spec = stack["VirtualService/langfuse"]["spec"]
    spec["http"] = [route for route in spec["http"] if route["name"] != "internal"]


def admin_api_routed_before_it_is_refused(stack: Props) -> None:
    spec = stack["VirtualService/langfuse"]["spec"]
    web = next(route for route in spec["http"] if route["name"] == "web")
    spec["http"].insert(0, {**web, "name": "first", "match": [{"uri": {"regex": "/api/[a-z]+/.*"}}]})


def _buckets(stack: Props) -> Any:  # noqa: ANN401  # JSON
    routes = stack["VirtualService/langfuse"]["spec"]["http"]
    return next(route for route in routes if route["name"] == "buckets")


def files_without_headers(stack: Props) -> None:
    del _buckets(stack)["headers"]


def files_by_a_route_before(stack: Props) -> None:
    routes = stack["VirtualService/langfuse"]["spec"]["http"]
    routes.insert(0, {"match": [{"uri": {"prefix": "/files/"}}], "route": _buckets(stack)["route"]})


def files_in_an_open_sandbox(stack: Props) -> None:
    headers = _buckets(stack)["headers"]["response"]["set"]
    headers["content-security-policy"] = "sandbox allow-same-origin allow-scripts"


def postgres_open_to_the_namespace(stack: Props) -> None:
    stack["NetworkPolicy/langfuse-allow-postgres-ingress"]["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]


def policy_of_web_forgotten(stack: Props) -> None:
    stack.remove("NetworkPolicy/langfuse-allow-web-ingress")


def egress_to_metadata(stack: Props) -> None:
    for rule in stack["NetworkPolicy/langfuse-allow-internet-egress"]["spec"]["egress"]:
        rule["to"], rule["ports"] = [{"ipBlock": {"cidr": "0.0.0.0/0"}}], [{"port": 80}, {"port": 443}]


def permissive_mesh(stack: Props) -> None:
    stack["PeerAuthentication/langfuse-mutual-tls"]["spec"]["mtls"] = {"mode": "PERMISSIVE"}


def service_of_a_store_for_everybody(stack: Props) -> None:
    stack["Service/langfuse-postgres"]["spec"]["type"] = "LoadBalancer"


def budget_that_blocks(stack: Props) -> None:
    spec = stack["PodDisruptionBudget/langfuse-web"]["spec"]
    del spec["maxUnavailable"]
    spec["minAvailable"] = stack[WEB]["spec"]["replicas"]


def migrations_on_web(stack: Props) -> None:
    for name in ("LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED", "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED"):
        stack.set_variable(WEB, name, "false")


def eviction_in_redis(stack: Props) -> None:
    stack.script("ConfigMap/langfuse-redis-config", "valkey.conf", "maxmemory-policy allkeys-lru")


def short_grace(stack: Props) -> None:
    stack.pod(WEB)["terminationGracePeriodSeconds"] = 30


def two_keepers(stack: Props) -> None:
    stack["StatefulSet/langfuse-keeper"]["spec"]["replicas"] = 2


def relaxed_namespace(stack: Props) -> None:
    stack["Namespace/langfuse-prod"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


def open_allow_list(stack: Props) -> None:
    stack.set_variable(WORKER, "LANGFUSE_LLM_CONNECTION_WHITELISTED_IP_SEGMENTS", "10.0.0.0/8")


def password_with_signs(stack: Props) -> None:
    stack["RandomPassword/langfuse-postgres"]["special"] = True


def sign_up_opened(stack: Props) -> None:
    stack.set_variable(WEB, "AUTH_DISABLE_SIGNUP", "false")


@pytest.mark.long
@pytest.mark.parametrize(
    ("attack", "policies"),
    [
        (
            second_container,
            {"no-privilege-escalation", "memory-limit", "drop-all-capabilities", "read-only-root-filesystem"},
        ),
        (privileged_sidecar_among_init_containers, {"no-privileged-container"}),
        (debug_container, {"no-debug-container"}),
        (secret_in_annotation, {"no-secret-in-annotations"}),
        (secret_in_args, {"no-secret-in-command"}),
        (secret_in_script, {"no-secret-in-config-map"}),
        (secret_in_probe, {"no-secret-in-command"}),
        (salt_as_literal, {"no-literal-secret-in-env"}),
        (key_of_zeros, {"encryption-key-form"}),
        (another_salt_for_the_worker, {"langfuse-keys-shared"}),
        (host_path_in_projected_volume, {"no-host-path"}),
        (foreign_registry, {"allowed-registries"}),
        (mounted_token, {"no-needless-token"}),
        (token_in_projected_volume, {"no-needless-token"}),
        (cluster_admin, {"no-cluster-admin"}),
        (media_expire, {"media-never-expires"}),
        (media_expire_by_command, {"media-never-expires"}),
        (suspended_backup, {"backup-not-suspended"}),
        (backup_on_a_day_that_never_comes, {"backup-schedule-valid"}),
        (copies_stay_at_home, {"backup-elsewhere"}),
        (copies_of_media_alone, {"backup-elsewhere"}),
        (copies_without_media, {"backup-of-each-store"}),
        (admin_api_routed, {"no-public-admin-api"}),
        (admin_api_routed_before_it_is_refused, {"no-public-admin-api"}),
        (files_without_headers, {"stored-files-are-inert"}),
        (files_by_a_route_before, {"stored-files-are-inert"}),
        (files_in_an_open_sandbox, {"stored-files-are-inert"}),
        (postgres_open_to_the_namespace, {"stores-name-their-clients"}),
        (policy_of_web_forgotten, {"pods-covered-by-policy"}),
        (egress_to_metadata, {"no-egress-to-metadata"}),
        (permissive_mesh, {"mtls-without-exceptions"}),
        (service_of_a_store_for_everybody, {"services-inside-the-cluster"}),
        (budget_that_blocks, {"disruption-budget-leaves-room"}),
        (migrations_on_web, {"one-migrator"}),
        (eviction_in_redis, {"redis-never-evicts"}),
        (short_grace, {"web-drains"}),
        (two_keepers, {"keeper-quorum"}),
        (relaxed_namespace, {"namespace-enforces-restricted"}),
        (open_allow_list, {"no-broad-allow-list"}),
        (password_with_signs, {"password-in-url-alphabet"}),
        (sign_up_opened, {"sign-up-closed"}),
    ],
    ids=lambda value: value.__name__.replace("_", " ") if callable(value) else "",
)
def test_an_attack_on_our_stack_is_seen(attack: Attack, policies: set[str]) -> None:
    stack = Props([replace(one, props=copy.deepcopy(one.props)) for one in ours()])
    attack(stack)
    after = found_in([replace(one, props=plain(one.props)) for one in stack.resources])
    assert {policy for policy, _, _ in after - found_before()} >= policies
