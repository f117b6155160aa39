"""What the program deploys, judged by both packs at the levels that its users get."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.packs import PACKS
from langfuse_policies.facts.resources import Resource
from langfuse_policies.levels import ALL, NAMES, Entry, configured, level
from langfuse_policies.testing import resource
from pulumi.runtime.proto import analyzer_pb2 as messages

from components.settings.clusters import CLUSTERS
from tests.data.rendered import RECIPIENT
from tests.policies.engine import LEVELS, Engine
from tests.unit.program import recorded

CHECKOUT = Path(__file__).parents[2]
WAIVERS = CHECKOUT / "policies" / "waivers.yaml"
CONFIG = CHECKOUT / "policies" / "config"
STACKS = ("dev", "staging", "prod", "preview")
MOST_WAIVERS = 5


def levels(environment: str) -> dict[str, Entry]:
    return configured(CONFIG / f"{environment}.json")


@functools.cache
def resources(stack: str, changes: str = "{}") -> list[Resource]:
    """What a stack file of this checkout registers; a profile without one is taken as it is.

    Of components the engine shows the outputs (pkg/resource/deploy/step_generator.go, AnalyzeStack).

    Args:
        stack: Its name.
        changes: JSON of what else is configured.
    """
    file = CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml"
    config = yaml.safe_load(file.read_text())["config"] if file.exists() else {}
    settings = {key.removeprefix("langfuse:"): value for key, value in config.items()}
    recording = recorded(stack, {**settings, **json.loads(changes)})
    return [
        resource(
            item.type,
            item.inputs if item.custom else recording.outputs.get(item.name, {}),
            name=item.name,
            stack=stack,
            protect=item.protect,
            ignore_changes=tuple(item.ignore_changes),
        )
        for item in recording
    ]


@functools.cache
def violations(stack: str, environment: str, changes: str = "{}") -> list[str]:
    """What breaks a mandatory policy of an environment."""
    found, config = resources(stack, changes), levels(environment)
    judged = [one for pack in PACKS for one in Engine(pack, waivers=WAIVERS, config=config).judge(*found)]
    return [f"{one.policyName}: {one.message}" for one in judged if one.enforcementLevel == messages.MANDATORY]


MANAGED = {"mode": "managed"}
COPIES = {"endpoint": "https://s3.example.org", "bucket": "copies", "secret": "copies"}
ROTATED = {"values": {"redisPassword": {"source": "generated", "epoch": 2}}}


@pytest.mark.long
@pytest.mark.parametrize(
    "config",
    [
        {"postgres": {**MANAGED, "version": "17.6", "upgradeTo": "18.4"}},
        {"postgres": {**MANAGED, "version": "18.4", "volume": 18, "former": {"version": "17.6"}}},
        {"redis": {"mode": "sentinel"}, "credentials": ROTATED},
        {"backups": {"offSite": {**COPIES, "encryption": "AES256"}, "importFrom": COPIES}},
        {"backups": {"offSite": {**COPIES, "recipients": [RECIPIENT]}}},
    ],
    ids=["copying", "switched", "rotation", "copies", "encrypted copies"],
)
def test_an_upgrade_of_postgres_a_rotation_of_redis_and_copies_break_no_policy(config: Mapping[str, Any]) -> None:
    assert violations("prod", "prod", json.dumps(config)) == []


def test_builds_with_users_of_their_own_break_no_policy_that_prod_keeps() -> None:
    builds = {name: {"suffix": "-ubi9", "uid": 10001} for name in ("web", "postgres", "clickhouse", "valkey", "minio")}
    broken = violations("prod", "prod", json.dumps({"images": {"builds": builds}}))
    assert {*broken} <= {*violations("prod", "prod")}


@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_breaks_a_mandatory_policy_of_its_environment(stack: str) -> None:
    assert violations(stack, "dev" if stack == "preview" else stack) == []


@pytest.mark.long
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_no_kind_of_cluster_needs_a_waiver(cluster: str) -> None:
    for modes in ({}, {"postgres": {"mode": "cloudnativepg"}, "mesh": {"mode": "none"}}):
        plain = {*violations("prod", "prod", json.dumps(modes))}
        changes = json.dumps({**modes, "cluster": {"preset": cluster}})
        assert {*violations("prod", "prod", changes)} <= plain
    assert violations("dev", "dev", json.dumps({"cluster": {"preset": cluster}})) == []


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["ambient", "sidecar", "none"])
def test_cloudnative_pg_beside_a_managed_store_breaks_no_policy_of_prod_that_prod_keeps(mesh: str) -> None:
    changes = {"postgres": {"mode": "cloudnativepg"}, "mesh": {"mode": mesh}}
    broken = set(violations("prod", "prod", json.dumps(changes)))
    assert broken <= set(violations("prod", "prod", json.dumps({"mesh": {"mode": mesh}})))


SIGN_IN_PROXY = {
    "issuer": "https://sso.example.com",
    "clientId": "langfuse",
    "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
}
TOKENS = {"issuer": "https://sso.example.com", "audiences": ["langfuse"], "header": "x-token"}
AUTOSCALING = {"minReplicas": 2, "maxReplicas": 6}
WAYS_IN: Mapping[str, Mapping[str, Any]] = {
    "gateway-api": {"ingress": {"kind": "gateway-api", "gateway": "gateways/public", "redirectListeners": ["http"]}},
    "nginx": {"ingress": {"kind": "ingress", "controller": "nginx", "certificate": {"issuer": "letsencrypt"}}},
    "nginx, outside the mesh": {
        "ingress": {"kind": "ingress", "controller": "nginx", "proxy": {"mesh": False}},
        "mesh": {"mode": "sidecar", "revision": "1-27"},
    },
    "traefik": {"ingress": {"kind": "ingress", "controller": "traefik"}},
    "other": {
        "ingress": {
            "kind": "ingress",
            "controller": "other",
            "proxy": {"namespace": "haproxy"},
            "bucketHost": "files.example.net",
        }
    },
    "a sign-in in front": {
        "ingress": {
            "kind": "gateway-api",
            "gateway": "gateways/public",
            "authentication": SIGN_IN_PROXY,
        }
    },
    "a sign-in and challenges of a certificate, outside the mesh": {
        "ingress": {
            "kind": "ingress",
            "controller": "nginx",
            "proxy": {"mesh": False},
            "certificate": {"issuer": "letsencrypt"},
            "authentication": SIGN_IN_PROXY,
        },
        "mesh": {"mode": "ambient"},
    },
    "an authorizer and tokens at the gateway": {
        "ingress": {
            "proxy": {"labels": {"istio": "ingressgateway"}},
            "authentication": {"provider": "sso", "tokens": TOKENS},
        }
    },
    "none": {"ingress": {"kind": "none"}, "mesh": {"mode": "ambient"}},
    "clients": {
        "clients": {
            "gateway": {"kind": "litellm", "namespace": "litellm", "environment": "production", "allowEgress": True},
            "search": {"kind": "otel", "namespace": "search", "project": {"id": "search"}},
            "notebooks": {"kind": "sdk"},
        }
    },
    "clients outside the mesh": {"network": {"webClients": ["apps"]}, "mesh": {"outsideClients": ["apps"]}},
}


@pytest.mark.long
@pytest.mark.parametrize("name", WAYS_IN)
def test_no_way_in_breaks_a_policy_of_prod_that_prod_keeps(name: str) -> None:
    without_mesh = violations("prod", "prod", json.dumps({"mesh": {"mode": "none"}}))
    broken = set(violations("prod", "prod", json.dumps(WAYS_IN[name])))
    assert broken <= {*violations("prod", "prod"), *without_mesh}


def test_pools_break_no_policy_of_prod_that_prod_keeps() -> None:
    by_length = {**AUTOSCALING, "queueLength": {}}
    pools = {
        "worker": {"pools": {"evaluations": {"queues": ["eval-execution"], "autoscaling": by_length}}},
        "web": {"ingestion": {"autoscaling": AUTOSCALING}},
    }
    assert set(violations("prod", "prod", json.dumps(pools))) <= {*violations("prod", "prod")}


def test_monitoring_breaks_no_policy_of_prod_that_prod_keeps() -> None:
    given = {"monitoring": {"traces": {"endpoint": "http://collector.monitoring.svc:4318"}}}
    assert set(violations("prod", "prod", json.dumps(given))) <= {*violations("prod", "prod")}


@pytest.mark.parametrize("stack", STACKS)
def test_at_the_levels_of_prod_a_stack_breaks_only_what_its_environment_leaves_open(stack: str) -> None:
    own = levels("dev" if stack == "preview" else stack)
    left_open = {policy for policy, entry in own.items() if level(entry) != "mandatory" or isinstance(entry, dict)}
    broken = {one.partition(":")[0] for one in violations(stack, "prod")}
    assert broken <= left_open


def test_the_waivers_are_few() -> None:
    assert len(yaml.safe_load(WAIVERS.read_text())) <= MOST_WAIVERS


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_a_configuration_names_only_policies_that_differ_from_its_default(environment: str) -> None:
    entries = json.loads((CONFIG / f"{environment}.json").read_text())
    default = entries.pop(ALL)
    assert set(entries) <= set(NAMES)
    assert default not in entries.values()


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_every_entry_sets_a_level(environment: str) -> None:
    # The engine ends with an assertion if a pack gets settings without a level for a policy of the other pack.
    found = {level(entry) for entry in levels(environment).values()}
    assert found <= {"mandatory", "advisory", "disabled", "remediate"}


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_reports_are_at_the_level_of_a_pack_without_configuration(environment: str) -> None:
    entries = levels(environment)
    for pack in PACKS:
        infos = Engine(pack).analyzer.GetAnalyzerInfo(None, None).policies
        own = {one.name: one.enforcementLevel for one in infos if one.name not in POLICIES}
        assert own == {name: LEVELS[level(entries[name])] for name in own}


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_each_setting_of_an_environment_is_one_that_its_policy_reads(environment: str) -> None:
    for policy, entry in levels(environment).items():
        if isinstance(entry, dict):
            model = POLICIES[policy].settings
            assert model is not None, policy
            model.read({key: value for key, value in entry.items() if key != "enforcementLevel"})


def test_no_environment_is_stricter_than_the_next() -> None:
    order = ["disabled", "advisory", "remediate", "mandatory"]
    for policy in POLICIES:
        dev, staging, prod = (order.index(level(levels(name)[policy])) for name in ("dev", "staging", "prod"))
        assert dev <= staging <= prod, policy
