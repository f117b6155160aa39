"""Checks of several keys: what each refuses, and similar configurations that it accepts."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.settings.checks import CHECKS, Check, application, backups, clients, ingress, memory, network, stores
from components.stores import versions as store_versions
from tests.unit.configuration import only_problem, refusal, settings
from tests.unit.network.test_reachability import OPERATED

Config = Mapping[str, Any]

EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
GATEWAY = {"namespace": "gateway", "labels": {"app": "litellm"}, "port": 4000}
GATEWAY_API = {"kind": "gateway-api", "gateway": "gateways/public"}
NGINX = {"kind": "ingress", "controller": "nginx"}
OTHER = {"kind": "ingress", "controller": "other"}
V3 = {"version": "3.225.4"}
V4_16 = {"version": "4.16.0"}


def at_address(**store: object) -> Config:
    """An external object store."""
    buckets = {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")}
    return {
        **EXISTING,
        "objectStore": {"mode": "external", "region": "eu-central-1", "buckets": buckets, **store},
    }


def redis(**store: object) -> Config:
    return {**EXISTING, "redis": {"mode": "external", **store}}


REFUSED: list[tuple[Check, str, Config, str]] = [
    (
        application.autoscaling_bounds_are_ordered,
        "dev",
        {"worker": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}},
        "worker.autoscaling.minReplicas: 3 is more than maxReplicas (2); raise maxReplicas",
    ),
    (
        application.requests_fit_limits,
        "prod",
        {"objectStore": {"resources": {"cpu": "8"}}},
        'objectStore.resources.cpu: "8" is more than cpuLimit (4); raise cpuLimit',
    ),
    (
        application.builds_choose_their_users,
        "dev",
        {"cluster": {"preset": "openshift"}, "images": {"builds": {"clickhouseKeeper": {"uid": 1001}}}},
        "images.builds.clickhouseKeeper.uid: 1001 has no effect, because the cluster assigns users",
    ),
    (
        memory.memory_is_enough,
        "dev",
        {"web": {"resources": {"memory": "64Mi"}}},
        'web.resources.memory: "64Mi" is less than the process needs to start and work; use 1Gi or more',
    ),
    (
        memory.memory_is_enough,
        "prod",
        {"clickhouse": {"keeperResources": {"memory": "64M"}}},
        'clickhouse.keeperResources.memory: "64M" is less',
    ),
    (
        ingress.proxy_is_in_another_namespace,
        "dev",
        {"namespace": "edge", "ingress": {"gateway": "edge/public"}},
        'namespace: "edge" contains the gateway (edge/public)',
    ),
    (
        ingress.proxy_is_in_another_namespace,
        "dev",
        {"namespace": "edge", "ingress": {"proxy": {"namespace": "edge"}}},
        'namespace: "edge" contains the gateway (istio-system/public)',
    ),
    (
        ingress.proxy_is_known,
        "dev",
        {"ingress": {**OTHER, "bucketHost": "files.example.net"}},
        "ingress.proxy.namespace: is required with controller other",
    ),
    (
        ingress.proxy_is_known,
        "dev",
        {"ingress": {**GATEWAY_API, "proxy": {"labels": {"app": "envoy"}, "ranges": ["10.0.0.0/8"]}}},
        "ingress.proxy.labels: select pods of ingress.proxy.namespace; set it too",
    ),
    (
        ingress.files_have_protective_headers,
        "dev",
        {"ingress": {**OTHER, "proxy": {"namespace": "haproxy"}}},
        "ingress.bucketHost: is required with controller other",
    ),
    (
        ingress.certificates_are_used,
        "dev",
        {"ingress": {"tls": False, "certificate": {"issuer": "letsencrypt"}}},
        "ingress.certificate: is not used with tls false",
    ),
    (
        ingress.certificates_are_used,
        "dev",
        {"ingress": {**NGINX, "tlsSecret": "own", "certificate": {"issuer": "letsencrypt"}}},
        'ingress.tlsSecret: "own" is not the Secret of certificate',
    ),
    (
        ingress.certificates_are_used,
        "dev",
        {"ingress": {**NGINX, "tls": False, "tlsSecret": "own"}},
        'ingress.tlsSecret: "own" is not used with tls false',
    ),
    (
        ingress.listeners_use_tls,
        "dev",
        {"ingress": {**GATEWAY_API, "listeners": []}},
        "ingress.listeners: [] would also serve plain HTTP",
    ),
    (
        ingress.listeners_use_tls,
        "dev",
        {"ingress": {**GATEWAY_API, "tls": False, "redirectListeners": ["http"]}},
        "ingress.redirectListeners: would redirect to https, which tls false does not serve",
    ),
    (
        ingress.listeners_use_tls,
        "dev",
        {"ingress": {**GATEWAY_API, "redirectListeners": ["https"]}},
        'ingress.redirectListeners: "https" also serves the route',
    ),
    (
        ingress.public_url_has_the_host,
        "dev",
        {"ingress": {"kind": "none", "publicUrl": "http://localhost:3000"}},
        'ingress.publicUrl: "http://localhost:3000" has another host than host ("langfuse.example.com")',
    ),
    (
        ingress.public_url_has_the_host,
        "prod",
        {"ingress": {"kind": "none", "publicUrl": "http://langfuse.example.com"}},
        'ingress.publicUrl: "http://langfuse.example.com" would serve prod without TLS',
    ),
    (
        ingress.bucket_host_is_usable,
        "dev",
        {"ingress": {"kind": "none", "bucketUrl": "http://localhost:9000", "bucketHost": "files.example.net"}},
        'ingress.bucketHost: "files.example.net" has no effect with bucketUrl',
    ),
    (
        network.sidecar_keys_have_an_effect,
        "dev",
        {"mesh": {"revision": "1-27"}},
        'mesh.revision: "1-27" has no effect in mode ambient',
    ),
    (
        network.clients_outside_the_mesh_are_clients,
        "dev",
        {"mesh": {"outsideClients": ["apps"]}},
        'mesh.outsideClients: "apps" is not in network.webClients',
    ),
    (
        network.clients_outside_the_mesh_are_clients,
        "dev",
        {"mesh": {"mode": "none", "outsideClients": ["apps"]}},
        "mesh.outsideClients: has no effect without a mesh",
    ),
    (
        network.mesh_knows_the_ingress,
        "dev",
        {"ingress": NGINX, "mesh": {"mode": "ambient"}},
        "ingress.proxy.mesh: is required with ingress.kind ingress and mesh.mode ambient; set it to true if the pods "
        "of the proxy (namespace ingress-nginx) are in the mesh, otherwise to false",
    ),
    (
        network.allowed_pods_have_an_address,
        "dev",
        {"allowedTargets": {"blobStorage": {"pods": [GATEWAY]}}},
        "allowedTargets.blobStorage.pods: have no effect, because Langfuse refuses their addresses",
    ),
    (
        network.operator_is_in_another_namespace,
        "dev",
        {**OPERATED, "namespace": "databases", "cluster": {"operators": {"cloudnativePg": "databases"}}},
        'namespace: "databases" contains the operator (cluster.operators.cloudnativePg)',
    ),
    (
        ingress.production_uses_tls,
        "prod",
        {"ingress": {"tls": False}},
        "ingress.tls: false would serve prod without TLS",
    ),
    (
        stores.keepers_match_replicas,
        "dev",
        {"clickhouse": {"replicas": 3, "keepers": 1}},
        "clickhouse.keepers: 1 is too few for 3 replicas; set it to 3",
    ),
    (
        backups.raw_events_outlive_backups,
        "dev",
        {"objectStore": {"eventsDays": 13}, "backups": {"clickhouseSchedule": "0 2 * * 1"}},
        "objectStore.eventsDays: 13 is less than twice the days between two ClickHouse backups; set it to 14",
    ),
    (
        stores.append_only_file_fits,
        "dev",
        {"redis": {"storage": "1023Mi", "resources": {"memory": "512Mi"}}},
        'redis.storage: "1023Mi" is less than twice the memory (512Mi)',
    ),
    (stores.append_only_file_fits, "prod", {"redis": {"storage": "1Gi"}}, 'redis.storage: "1Gi" is less than twice'),
    (memory.storage_is_enough, "dev", {"postgres": {"storage": "1Mi"}}, 'postgres.storage: "1Mi" is less than'),
    (memory.storage_is_enough, "dev", {"clickhouse": {"storage": "100Mi"}}, "use 1Gi or more"),
    (memory.storage_is_enough, "dev", {"clickhouse": {"keeperStorage": "1Mi"}}, "clickhouse.keeperStorage: "),
    (memory.storage_is_enough, "dev", {"objectStore": {"storage": "1Mi"}}, "objectStore.storage: "),
    (stores.external_redis_has_an_address, "dev", redis(), "redis.host: is required with topology single"),
    (stores.external_redis_has_an_address, "dev", redis(topology="cluster"), "redis.nodes: is required with topology"),
    (
        stores.external_redis_has_an_address,
        "dev",
        redis(topology="sentinel", nodes=["a.example:26379"]),
        "redis.masterName: is required with topology sentinel",
    ),
    (
        stores.external_redis_has_an_address,
        "dev",
        redis(topology="cluster", nodes=["a.example:6379", "redis://b.example:6379"]),
        'redis.nodes: "redis://b.example:6379" is not "host:port"',
    ),
    (
        stores.buckets_of_an_address_are_in_the_path,
        "dev",
        at_address(endpoint="http://10.0.0.7:9000"),
        'objectStore.endpoint: "http://10.0.0.7:9000" is an IP address',
    ),
    (
        network.egress_rules_have_a_destination,
        "dev",
        {"network": {"egress": [{"name": "audit", "ports": [6514]}]}},
        "network.egress.0: has no destination; set ranges or namespace",
    ),
    (
        stores.migrations_bypass_the_pooler,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "pooler": True}},
        "postgres.directHost: is required with pooler true",
    ),
    (
        stores.cloudnative_pg_finds_the_password,
        "dev",
        {**EXISTING, "postgres": {"mode": "cloudnativepg"}},
        "credentials.values.postgresPassword.key: is not the key that CloudNativePG reads",
    ),
    (
        stores.postgres_upgrade_is_one_step,
        "dev",
        {"postgres": {"version": "17.10", "volume": 16}},
        'postgres.volume: 16 is not the major release of "17.10"',
    ),
    (
        stores.postgres_upgrade_is_one_step,
        "dev",
        {"postgres": {"version": "17.10", "upgradeTo": "17.11"}},
        'postgres.upgradeTo: "17.11" is not a later major release than 17',
    ),
    (
        stores.postgres_upgrade_is_one_step,
        "dev",
        {"postgres": {"version": "17.10", "volume": 17, "upgradeTo": "18.4", "former": {"version": "16.3"}}},
        "postgres.upgradeTo: the last upgrade is not finished",
    ),
    (
        stores.postgres_upgrade_is_one_step,
        "dev",
        {"postgres": {"version": "17.10", "former": {"version": "16.3"}}},
        "postgres.former: is not an earlier release on another volume",
    ),
    (store_versions.versions_fit, "dev", {"postgres": {"version": "14.9"}}, 'postgres.version: "14.9" is too old'),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "25.11.9"}}, "use 25.12 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V3, "clickhouse": {"version": "24.2.9"}},
        "too old for Langfuse 3; use 24.3",
    ),
    (store_versions.versions_fit, "dev", {**V3, "redis": {"version": "6.9"}}, "use 7.0 or newer"),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.1.651"}}, "use 26.5.6.70 or newer"),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.7.2.10"}}, "use 26.7.2.11 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V4_16, "clickhouse": {"version": "26.8.2.7"}},
        'clickhouse.version: "26.8.2.7" drops every trace that Langfuse 4.16.0 writes; use a ClickHouse before 26.8, '
        "or Langfuse 4.28.0 or newer",
    ),
    (
        store_versions.versions_fit,
        "dev",
        {"version": "4.27.9", "clickhouse": {"mode": "external", "host": "a.example", "version": "26.9"}, **EXISTING},
        "drops every trace that Langfuse 4.27.9 writes",
    ),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "26.8.1.1"}}, "or Langfuse 3.225.7 or newer"),
    (
        store_versions.versions_fit,
        "dev",
        {**V4_16, "clickhouse": {"version": "26.6.1.5"}},
        "use 26.6.2.108 or newer, before 26.8",
    ),
    (
        store_versions.versions_fit,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "version": "13.4"}},
        'postgres.version: "13.4" is too old for Langfuse 4',
    ),
    (
        application.phase_is_possible,
        "dev",
        {**V3, "ingestion": {"phase": "dual"}},
        'ingestion.phase: "dual" needs the tables of version 4, and version is 3.',
    ),
    (
        application.phase_is_possible,
        "dev",
        {"ingestion": {"phase": "backfill", "acknowledgeEventsOnly": True}},
        "ingestion.acknowledgeEventsOnly: true is for phase events_only, and phase is backfill",
    ),
]

CLIENT = {"kind": "sdk", "namespace": "apps"}
EVERY_KIND_OF_KEYS = {
    "generated": {**CLIENT, "publicKey": {"source": "generated"}},
    "existing": {
        **CLIENT,
        "publicKey": {"source": "existing", "secret": "app", "key": "PUBLIC"},
        "secretKey": {"source": "existing", "secret": "app", "key": "SECRET"},
    },
}


def one_client(**client: object) -> Config:
    return {"clients": {"app": {**CLIENT, **client}}}


REFUSED += [
    (
        clients.clients_outlive_the_stack,
        "preview",
        one_client(),
        "clients: an environment with the profile preview has none",
    ),
    (
        clients.clients_have_a_namespace_of_their_own,
        "dev",
        one_client(namespace="langfuse-dev"),
        'clients.app.namespace: "langfuse-dev" contains nothing but the stack; set the namespace of the client\'s pods',
    ),
    (
        clients.clients_have_a_namespace_of_their_own,
        "dev",
        {"clients": {"app": {"kind": "otel", "allowEgress": True}}},
        "clients.app.allowEgress: has no effect outside of the cluster; set namespace, or remove it",
    ),
    (
        clients.projects_have_one_name,
        "dev",
        {
            "clients": {
                "app": {**CLIENT, "project": {"id": "search", "name": "Search"}},
                "other": {**CLIENT, "project": {"id": "search", "name": "Find"}},
            }
        },
        'clients.other.project.name: "Find" differs from the name of the project "search" elsewhere ("Search")',
    ),
    (
        clients.keys_of_clients_are_pairs,
        "dev",
        one_client(publicKey={"source": "existing", "secret": "app", "key": "PUBLIC"}),
        'clients.app.secretKey.source: "generated" differs from the source of publicKey (existing)',
    ),
    (
        clients.clients_fit_the_phase,
        "prod",
        one_client(kind="dify"),
        "clients.app.kind: Dify sends events of version 3, which Langfuse drops without an error",
    ),
]

ACCEPTED: list[tuple[Check, str, Config]] = [
    (clients.clients_outlive_the_stack, "dev", one_client()),
    (clients.clients_have_a_namespace_of_their_own, "dev", one_client(allowEgress=True)),
    (clients.projects_have_one_name, "dev", {"clients": {name: {**CLIENT, "project": {"id": "x"}} for name in "ab"}}),
    (clients.keys_of_clients_are_pairs, "dev", {"clients": EVERY_KIND_OF_KEYS}),
    (
        clients.clients_fit_the_phase,
        "prod",
        {**one_client(kind="dify"), "ingestion": {"phase": "dual"}},
    ),
    (clients.clients_fit_the_phase, "dev", {**one_client(kind="dify"), **V3}),
    (application.autoscaling_bounds_are_ordered, "dev", {"web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}}),
    (application.requests_fit_limits, "dev", {"web": {"resources": {"cpu": "2000m", "cpuLimit": "2"}}}),
    (application.requests_fit_limits, "dev", redis(host="redis.example.com")),
    (application.builds_choose_their_users, "dev", {"images": {"builds": {"web": {"uid": 1001}}}}),
    (application.builds_choose_their_users, "dev", {"cluster": {"users": "namespace"}}),
    (ingress.proxy_is_in_another_namespace, "dev", {"namespace": "edge", "ingress": {"gateway": "edge-public/edge"}}),
    (
        ingress.proxy_is_in_another_namespace,
        "dev",
        {"namespace": "edge", "ingress": {"kind": "none"}},
    ),
    (ingress.proxy_is_known, "dev", {"ingress": {**GATEWAY_API, "proxy": {"ranges": ["10.0.0.0/8"]}}}),
    (ingress.certificates_are_used, "dev", {"ingress": {**NGINX, "certificate": {"issuer": "a", "secret": "own"}}}),
    (ingress.listeners_use_tls, "dev", {"ingress": {**GATEWAY_API, "listeners": ["https-a", "https-b"]}}),
    (
        ingress.public_url_has_the_host,
        "prod",
        {"host": "localhost", "ingress": {"kind": "none", "publicUrl": "http://localhost:3000"}},
    ),
    (
        ingress.bucket_host_is_usable,
        "dev",
        {
            "host": "localhost",
            "ingress": {"kind": "none", "publicUrl": "http://localhost:3000", "bucketUrl": "http://localhost:9000"},
        },
    ),
    (ingress.files_have_protective_headers, "dev", {"ingress": NGINX}),
    (network.sidecar_keys_have_an_effect, "dev", {"mesh": {"mode": "sidecar", "revision": "1-27"}}),
    (
        network.clients_outside_the_mesh_are_clients,
        "dev",
        {"network": {"webClients": ["apps"]}, "mesh": {"outsideClients": ["apps"]}},
    ),
    (network.mesh_knows_the_ingress, "dev", {"ingress": NGINX}),
    (
        network.mesh_knows_the_ingress,
        "dev",
        {"ingress": {**NGINX, "proxy": {"mesh": True}}, "mesh": {"mode": "ambient"}},
    ),
    (network.allowed_pods_have_an_address, "dev", {"allowedTargets": {"llm": {"hosts": ["llm.a"], "pods": [GATEWAY]}}}),
    (network.operator_is_in_another_namespace, "dev", {**OPERATED, "cluster": {"preset": "openshift"}}),
    (
        network.operator_is_in_another_namespace,
        "dev",
        {"namespace": "x", "cluster": {"operators": {"cloudnativePg": "x"}}},
    ),
    (ingress.production_uses_tls, "dev", {"ingress": {"tls": False}}),
    (ingress.production_uses_tls, "prod", {"ingress": {"kind": "none", "tls": False}}),
    (stores.keepers_match_replicas, "dev", {"clickhouse": {"replicas": 3, "keepers": 3}}),
    (stores.keepers_match_replicas, "dev", {"clickhouse": {"replicas": 1, "keepers": 3}}),
    (
        backups.raw_events_outlive_backups,
        "dev",
        {"objectStore": {"eventsDays": 14}, "backups": {"clickhouseSchedule": "0 2 * * 1"}},
    ),
    (backups.raw_events_outlive_backups, "dev", {"objectStore": {"eventsDays": 2}}),
    (memory.memory_is_enough, "dev", {"worker": {"resources": {"memory": "1Gi"}}}),
    (memory.memory_is_enough, "dev", {**EXISTING, "redis": {"mode": "external", "host": "redis.example.com"}}),
    (stores.append_only_file_fits, "dev", {"redis": {"storage": "1Gi", "resources": {"memory": "512Mi"}}}),
    (memory.storage_is_enough, "dev", {"postgres": {"storage": "1Gi"}, "clickhouse": {"storage": "1Gi"}}),
    (stores.append_only_file_fits, "dev", redis(host="redis.example.com")),
    (stores.external_redis_has_an_address, "dev", redis(host="redis.example.com")),
    (stores.external_redis_has_an_address, "dev", redis(topology="cluster", nodes=["10.0.0.1:6379"])),
    (
        stores.external_redis_has_an_address,
        "dev",
        redis(topology="sentinel", nodes=["a.example:26379"], masterName="primary"),
    ),
    (
        stores.buckets_of_an_address_are_in_the_path,
        "dev",
        at_address(endpoint="http://[fd12::7]:9000", forcePathStyle=True),
    ),
    (
        network.egress_rules_have_a_destination,
        "dev",
        {"network": {"egress": [{"name": "audit", "ports": [6514], "ranges": ["10.0.0.0/8"]}]}},
    ),
    (
        stores.migrations_bypass_the_pooler,
        "dev",
        {**EXISTING, "postgres": {"mode": "external", "host": "a.example", "pooler": True, "directPort": 5433}},
    ),
    (stores.cloudnative_pg_finds_the_password, "dev", {"postgres": {"mode": "cloudnativepg"}}),
    (stores.cloudnative_pg_finds_the_password, "dev", EXISTING),
    (stores.postgres_upgrade_is_one_step, "dev", {"postgres": {"version": "17.10", "upgradeTo": "18.4"}}),
    (
        stores.postgres_upgrade_is_one_step,
        "dev",
        {"postgres": {"version": "17.10", "volume": 17, "former": {"version": "16.3"}}},
    ),
    (store_versions.versions_fit, "dev", {"postgres": {"version": "15.0"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "25.12.1"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.1.650"}}),
    (store_versions.versions_fit, "dev", {"clickhouse": {"version": "26.5.6.70"}}),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "24.3.1"}}),
    (store_versions.versions_fit, "dev", {**V3, "clickhouse": {"version": "26.6.1.5"}}),
    (store_versions.versions_fit, "dev", {"version": "4.28.0", "clickhouse": {"version": "26.8.1.1"}}),
    (store_versions.versions_fit, "dev", {"version": "3.225.7", "clickhouse": {"version": "26.8.1.1"}}),
    (store_versions.versions_fit, "dev", {**V4_16, "clickhouse": {"version": "26.7.2.11"}}),
    (store_versions.versions_fit, "dev", {**EXISTING, "postgres": {"mode": "external", "host": "a.example"}}),
    (application.phase_is_possible, "dev", {"ingestion": {"phase": "legacy"}}),
    (application.phase_is_possible, "dev", {"ingestion": {"acknowledgeEventsOnly": True}}),
    (application.phase_is_possible, "dev", {**V3, "ingestion": {"phase": "legacy"}}),
    (application.phase_is_possible, "dev", V3),
]

TESTED_ELSEWHERE = {
    "gateway_asks_for_sign_in",
    *("sources_are_complete", "configured_credentials_are_used", "epochs_are_possible"),
    *(
        "external_credentials_have_a_source",
        "somebody_can_sign_in",
        "licensed_features_have_a_license",
        "extra_variables_are_valid",
        "variables_name_possible_targets",
    ),
    *("patches_are_allowed", "managed_buckets_have_one_purpose", "off_site_store_is_separate"),
    "kept_periods_add_up",
    *("queues_have_one_consumer", "queue_length_has_triggers"),
    *("containers_can_start", "bounds_hold"),
    *("digests_are_complete", "mirrors_are_of_original_registries"),
}
"""Checks that the tests of their subject cover: credentials, sign-in, `extraEnv`, patches, buckets, routes, bounds,
images."""


def test_every_check_has_a_refused_and_an_accepted_configuration() -> None:
    own = {check for check in CHECKS if check.__name__ not in TESTED_ELSEWHERE}
    assert {check for check, *_ in REFUSED} == {check for check, *_ in ACCEPTED} == own
    assert len(own) + len(TESTED_ELSEWHERE) == len(CHECKS)


def title(value: object) -> str | None:
    return str(getattr(value, "__name__", "")) or None


@pytest.mark.parametrize(("check", "stack", "config", "message"), REFUSED, ids=title)
def test_a_check_names_key_value_and_fix(check: Check, stack: str, config: Config, message: str) -> None:
    assert message in only_problem(config, stack)


@pytest.mark.parametrize(("check", "stack", "config"), ACCEPTED, ids=title)
def test_a_similar_valid_configuration_is_accepted(check: Check, stack: str, config: Config) -> None:
    assert not list(check(settings(config, stack)))


@pytest.mark.parametrize(("check", "stack", "config", "message"), REFUSED, ids=title)
def test_the_message_comes_from_this_check(
    check: Check, stack: str, config: Config, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.settings.load.CHECKS", [one for one in CHECKS if one is not check])
    assert [problem for problem in check(settings(config, stack)) if message in problem]


def test_problems_of_several_checks_are_reported_at_once() -> None:
    config = {"clickhouse": {"replicas": 3}, "redis": {"storage": "100Mi"}, "postgres": {"version": "14.1"}}
    assert refusal(config).startswith("3 problems in the configuration of stack dev:")
