"""Every container whose programs call out trusts the private CAs of the network."""

from __future__ import annotations

from typing import Any

import pytest

from components.kubernetes.trust import FILE, FOLDER, VARIABLES
from components.schema.image_settings import NAMES
from components.settings.load import parse
from components.settings.warnings import warnings
from tests.unit.configuration import HOST
from tests.unit.pods import container, containers, pod_spec, variables, workloads
from tests.unit.program import recorded
from tests.unit.test_images import OFF_SITE

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
EXISTING = {"source": "existing", "secret": "langfuse-credentials"}
SIGN_IN = {"kind": "gateway-api", "gateway": "gateways/public"}
EXTERNAL: dict[str, Any] = {
    "postgres": {"mode": "external", "host": "db.example.org"},
    "redis": {"mode": "external", "host": "redis.example.org"},
    "clickhouse": {"mode": "external", "host": "clickhouse.example.org"},
    "credentials": EXISTING,
}
CALL_NOBODY = {
    *("postgres", "cloudnative_pg", "clickhouse_keeper", "valkey", "minio"),
    *("statsd_exporter", "redis_exporter", "postgres_exporter"),
}
"""Images whose programs call nothing outside. pg_dump and psql read a bundle that another container makes, and
exporters that of the store."""


def test_it_is_decided_for_every_image() -> None:
    assert VARIABLES.keys() | CALL_NOBODY == set(NAMES.values())
    assert not VARIABLES.keys() & CALL_NOBODY


@pytest.mark.parametrize("config", [{}, EXTERNAL], ids=["managed", "external"])
def test_containers_have_the_file_and_the_variables_of_their_programs(config: dict[str, Any]) -> None:
    given = {**config, "network": {"ca": CA}, "backups": OFF_SITE, "images": {"registry": "mirror.example.com"}}
    found = recorded("dev", given)
    (trusted,) = [item for item in found.of("ConfigMap") if item.stable_name == "langfuse-certificates-trusted"]
    assert trusted.inputs["data"] == {FILE: CA}
    names = {repository.rpartition("/")[2]: name for repository, name in NAMES.items()}
    checked = set()
    for item in workloads(found):
        volumes = {one["name"]: one for one in pod_spec(item)["volumes"]}
        for one in containers(item):
            image = names[one["image"].rpartition("/")[2].partition(":")[0]]
            expected = VARIABLES.get(image, {})
            given_variables = variables(one)
            assert {name: given_variables.get(name) for name in expected} == dict(expected), (item.name, one["name"])
            mounts = [mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == FOLDER]
            assert mounts == (["trusted"] if expected else []), (item.name, one["name"])
            if expected:
                assert volumes["trusted"]["configMap"]["name"] == trusted.name
                assert trusted.name in item.dependencies
                checked.add(image)
    assert checked == VARIABLES.keys() - {"oauth2_proxy"}


def test_external_databases_are_verified_with_it_too() -> None:
    found = recorded("dev", {**EXTERNAL, "network": {"ca": CA}})
    check = variables(container(found.one("Job", "langfuse-migrations"), "stores"))
    assert "sslcert=/etc/langfuse/certificates/postgres.pem" in check["DATABASE_URL"]
    assert check["REDIS_TLS_CA_PATH"] == "/etc/langfuse/certificates/redis.pem"


def test_without_private_cas_nothing_is_added() -> None:
    found = recorded("dev")
    assert [item for item in found.of("ConfigMap") if "trusted" in item.name] == []
    assert {one["mountPath"] for item in workloads(found) for pod in containers(item) for one in pod["volumeMounts"]}
    assert "NODE_EXTRA_CA_CERTS" not in variables(container(found.one("Deployment", "langfuse-web")))


def test_a_warning_says_what_does_not_trust_it() -> None:
    store = {
        "mode": "external",
        "region": "eu-central-1",
        "endpoint": "https://s3.example.org",
        "buckets": {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")},
    }
    config = {"postgres": {"mode": "cloudnativepg"}, "objectStore": store, "network": {"ca": CA}}
    values = {"postgresPassword": {**EXISTING, "key": "password"}}
    given = parse("dev", {"host": HOST, **config, "credentials": {**EXISTING, "values": values}})
    assert any("CloudNativePG's archive" in line for line in warnings(given))
