import json
from pathlib import Path

import pytest

from components import environment
from components.connections import (
    PURPOSES,
    Bucket,
    ClickHouseConnection,
    Endpoint,
    Environment,
    ObjectStoreConnection,
    PostgresConnection,
    RedisConnection,
    SecretRef,
)
from components.environment import ApplicationSecrets, Stores
from components.settings import Settings, parse

NOT_THE_APPLICATIONS_OWN = {"HOSTNAME", "KEEP_ALIVE_TIMEOUT", "NODE_OPTIONS", "PORT"}
"""Read by Node and by Next's standalone server."""


def ref(name: str) -> SecretRef:
    return SecretRef(name=f"secret-of-{name}", key="value")


STORES = Stores(
    postgres=PostgresConnection(
        endpoint=Endpoint(host="pg", port=5432), database="langfuse", username="langfuse", password=ref("postgres")
    ),
    clickhouse=ClickHouseConnection(
        http=Endpoint(host="ch", port=8123),
        native=Endpoint(host="ch-0", port=9000),
        username="langfuse",
        password=ref("clickhouse"),
    ),
    redis=RedisConnection(endpoint=Endpoint(host="redis", port=6379), password=ref("redis")),
    object_store=ObjectStoreConnection(
        endpoint=Endpoint(host="s3", port=9000),
        region="us-east-1",
        force_path_style=True,
        buckets={
            purpose: Bucket(name=f"b-{purpose}", access_key_id=ref(f"{purpose}-id"), secret_access_key=ref(purpose))
            for purpose in PURPOSES
        },
    ),
)
SECRETS = ApplicationSecrets(
    **{name: ref(name) for name in ("nextauth_secret", "salt", "encryption_key", "user_password")},
    **{name: ref(name) for name in ("public_key", "secret_key")},
)


def settings(**config: object) -> Settings:
    return parse("dev", {"host": "langfuse.example.com", **config})


def web(**config: object) -> Environment:
    return environment.web_environment(settings(**config), STORES, SECRETS)


def worker(**config: object) -> Environment:
    return environment.worker_environment(settings(**config), STORES, SECRETS)


@pytest.mark.parametrize("version", ["4.16.0", "3.225.4"])
def test_every_name_is_one_that_the_application_reads(version: str) -> None:
    names = json.loads((Path(__file__).parent / "data" / f"langfuse-env-{version}.json").read_text())["names"]
    for program, variables in (("web", web(version=version)), ("worker", worker(version=version))):
        read = {name for part, found in names.items() if program in part or part == "shared" for name in found}
        assert variables.keys() - read - NOT_THE_APPLICATIONS_OWN == set()


def test_credentials_come_by_reference_only() -> None:
    secret_like = ("PASSWORD", "SECRET", "SALT", "_AUTH", "ACCESS_KEY", "ENCRYPTION_KEY", "PUBLIC_KEY")
    for name, value in [*web().items(), *worker().items()]:
        if any(part in name for part in secret_like):
            assert isinstance(value, SecretRef), name


def test_what_a_variable_refers_to_stands_before_it() -> None:
    names = list(web())
    assert names.index("DATABASE_PASSWORD") < names.index("DATABASE_URL")
    assert web()["DATABASE_URL"] == "postgresql://langfuse:$(DATABASE_PASSWORD)@pg:5432/langfuse"


def test_only_the_migration_migrates() -> None:
    off = ("LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED", "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED")
    assert [web()[name] for name in off] == ["true", "true"]
    migration = environment.migration_environment(STORES.postgres, STORES.clickhouse)
    assert not set(off) & migration.keys()


def test_web_and_worker_are_given_what_both_need() -> None:
    both = web().keys() & worker().keys()
    assert both >= {
        *("CLICKHOUSE_CLUSTER_ENABLED", "CLICKHOUSE_DB", "CLICKHOUSE_PASSWORD", "CLICKHOUSE_URL", "CLICKHOUSE_USER"),
        *("DATABASE_URL", "ENCRYPTION_KEY", "NEXTAUTH_URL", "REDIS_AUTH", "REDIS_HOST", "REDIS_PORT", "SALT"),
        *("LANGFUSE_S3_EVENT_UPLOAD_BUCKET", "LANGFUSE_S3_MEDIA_UPLOAD_BUCKET", "LANGFUSE_S3_BATCH_EXPORT_BUCKET"),
    }


def test_the_migration_sees_the_databases_alone() -> None:
    migration = environment.migration_environment(STORES.postgres, STORES.clickhouse)
    assert not [name for name in migration if name.startswith(("LANGFUSE", "REDIS", "SALT"))]


def test_signed_links_lead_to_the_public_host_and_servers_stay_inside() -> None:
    found = worker()
    assert found["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"] == "https://langfuse.example.com"
    assert found["LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT"] == "https://langfuse.example.com"
    assert found["LANGFUSE_S3_BATCH_EXPORT_ENDPOINT"] == "http://s3:9000"
    assert found["LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT"] == "http://s3:9000"


def test_without_a_public_route_links_stay_inside() -> None:
    found = web(ingress={"kind": "none"})
    assert found["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"] == "http://s3:9000"


def test_each_purpose_has_its_own_bucket_and_keys() -> None:
    found = web()
    uses = ("EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT")
    assert len({found[f"LANGFUSE_S3_{use}_BUCKET"] for use in uses}) == 3
    assert len({found[f"LANGFUSE_S3_{use}_SECRET_ACCESS_KEY"] for use in uses}) == 3


def test_nodes_heap_fits_the_memory_limit() -> None:
    found = web(web={"resources": {"memory": "4Gi"}})
    assert found["NODE_OPTIONS"] == "--max-old-space-size=3072"


def test_clickhouse_spills_at_half_its_memory() -> None:
    found = web(clickhouse={"resources": {"memory": "8Gi"}})
    assert found["CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY"] == str(4 * 1024**3)


def test_servers_listen_beyond_the_pod_and_keep_idle_connections_longer_than_load_balancers() -> None:
    assert web()["HOSTNAME"] == worker()["HOSTNAME"] == "0.0.0.0"  # noqa: S104
    assert int(str(web()["KEEP_ALIVE_TIMEOUT"])) > 600_000


def test_https_is_enforced_where_the_public_url_is_https() -> None:
    assert web()["LANGFUSE_CSP_ENFORCE_HTTPS"] == "true"
    plain = web(ingress={"tls": False})
    assert (plain["LANGFUSE_CSP_ENFORCE_HTTPS"], plain["NEXTAUTH_URL"]) == ("false", "http://langfuse.example.com")
