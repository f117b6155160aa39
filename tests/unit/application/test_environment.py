import pytest

from components.application import environment, extra_env
from components.application.component import ApplicationContext
from components.kubernetes.installation import Installation
from components.kubernetes.variables import Environment, SecretRef
from components.outputs import outputs
from components.schema.environment import Settings
from components.schema.purposes import PURPOSES
from components.settings.load import SettingsError
from components.settings.profiles import PROFILES
from components.settings.warnings import warnings
from components.stores.connections import (
    Bucket,
    ClickHouseConnection,
    Connections,
    Endpoint,
    ObjectStoreConnection,
    PostgresConnection,
    RedisConnection,
)
from components.stores.modes import installation_credentials
from tests.unit.configuration import settings
from tests.unit.variables import VERSIONS

NOT_THE_APPLICATIONS_OWN = {"HOSTNAME", "KEEP_ALIVE_TIMEOUT", "NODE_OPTIONS", "PORT"}
"""Variables that Node and Next's standalone server read."""


def ref(name: str) -> SecretRef:
    return SecretRef(name=f"secret-of-{name}", key="value")


STORES = Connections(
    postgres=PostgresConnection(
        endpoint=Endpoint(host="pg", port=5432),
        database="langfuse",
        username="langfuse",
        password=ref("postgres"),
        version="17.10",
        pool=10,
    ),
    clickhouse=ClickHouseConnection(
        http=Endpoint(host="ch", port=8123),
        native=Endpoint(host="ch-0", port=9000),
        username="langfuse",
        password=ref("clickhouse"),
        memory="8Gi",
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


def refs(found: Settings) -> dict[str, SecretRef]:
    return {one.credential.id: ref(one.credential.id) for one in installation_credentials(found)}


def web(**config: object) -> Environment:
    found = settings(config)
    return environment.web_environment(found, STORES, refs(found))


def first_start(**config: object) -> Environment:
    found = settings(config)
    return environment.first_start_environment(found, STORES, refs(found))


def worker(**config: object) -> Environment:
    found = settings(config)
    return environment.worker_environment(found, STORES, refs(found))


SECRET = {"source": "existing", "secret": "mine", "key": "value"}
TARGETS = {"hosts": ["litellm.gateway.svc.cluster.local"], "ips": ["10.1.2.3"], "ranges": ["10.1.0.0/16"]}
EVERYTHING: dict[str, object] = {
    "license": {"key": SECRET},
    "mail": {"sender": "langfuse@example.com", "smtpUrl": SECRET},
    "credentials": {"values": {"adminApiKey": {"source": "generated"}}},
    "firstStart": {"projectRetentionDays": 90},
    "allowedTargets": dict.fromkeys(("llm", "webhook", "blobStorage", "ssoDiscovery"), TARGETS),
    "ingestion": {"phase": "legacy"},
    "signIn": {
        "ssoDomains": ["example.com"],
        "emailVerification": True,
        "defaultOrganizationRole": "NONE",
        "defaultProjectRole": "VIEWER",
        "organizationCreators": ["a@example.com", "b@example.com"],
        "providers": {"github": {"clientId": "x", "clientSecret": SECRET}},
    },
}
"""Every option of the application that adds variables."""


@pytest.mark.parametrize("config", [{}, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_variable_is_one_that_the_application_reads(version: str, config: dict[str, object]) -> None:
    both = (("web", web(version=version, **config)), ("worker", worker(version=version, **config)))
    for program, variables in both:
        assert variables.keys() - extra_env.names(version, program) - NOT_THE_APPLICATIONS_OWN == set()


def test_credentials_are_references_to_secrets() -> None:
    secret_like = (
        "PASSWORD",
        "SECRET",
        "SALT",
        "_AUTH",
        "ACCESS_KEY",
        "ENCRYPTION_KEY",
        "PUBLIC_KEY",
        "LICENSE",
        "SMTP",
    )
    switches = {"AUTH_DISABLE_USERNAME_PASSWORD"}
    for name, value in [*web(**EVERYTHING).items(), *worker(**EVERYTHING).items()]:
        if any(part in name for part in secret_like) and name not in switches:
            assert isinstance(value, SecretRef), name


def test_variables_are_defined_before_they_are_referenced() -> None:
    names = list(web())
    assert names.index("DATABASE_PASSWORD") < names.index("DATABASE_URL")
    assert web()["DATABASE_URL"] == "postgresql://langfuse:$(DATABASE_PASSWORD)@pg:5432/langfuse?connection_limit=10"


def test_only_the_migration_job_runs_migrations() -> None:
    off = ("LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED", "LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED")
    assert [web()[name] for name in off] == ["true", "true"]
    migration = environment.migration_environment(STORES.postgres, STORES.clickhouse)
    assert not set(off) & migration.keys()


def test_web_and_worker_share_the_variables_that_both_read() -> None:
    both = web().keys() & worker().keys()
    assert both >= {
        *("CLICKHOUSE_CLUSTER_ENABLED", "CLICKHOUSE_DB", "CLICKHOUSE_PASSWORD", "CLICKHOUSE_URL", "CLICKHOUSE_USER"),
        *("DATABASE_URL", "ENCRYPTION_KEY", "NEXTAUTH_URL", "REDIS_AUTH", "REDIS_HOST", "REDIS_PORT", "SALT"),
        *("LANGFUSE_S3_EVENT_UPLOAD_BUCKET", "LANGFUSE_S3_MEDIA_UPLOAD_BUCKET", "LANGFUSE_S3_BATCH_EXPORT_BUCKET"),
    }


def test_the_migration_job_has_only_variables_of_the_databases() -> None:
    migration = environment.migration_environment(STORES.postgres, STORES.clickhouse)
    assert not [name for name in migration if name.startswith(("LANGFUSE", "REDIS", "SALT"))]


PUBLIC, INNER = "https://langfuse.example.com", "http://s3:9000"


@pytest.mark.parametrize("version", VERSIONS)
def test_web_signs_links_for_the_public_host_and_the_worker_uses_the_internal_endpoint(version: str) -> None:
    in_web, in_worker = web(version=version), worker(version=version)
    assert (in_web["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"], in_worker["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"]) == (
        PUBLIC,
        INNER,
    )
    assert in_worker["LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT"] == PUBLIC
    assert in_worker["LANGFUSE_S3_BATCH_EXPORT_ENDPOINT"] == INNER
    assert in_worker["LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT"] == INNER


def test_a_newer_web_reads_media_from_the_internal_endpoint() -> None:
    assert web()["LANGFUSE_S3_MEDIA_UPLOAD_INTERNAL_ENDPOINT"] == INNER
    assert "LANGFUSE_S3_MEDIA_UPLOAD_INTERNAL_ENDPOINT" not in web(version="4.16.0")


def test_each_ingestion_queue_has_its_own_concurrency() -> None:
    found = worker(worker={"concurrency": 7, "otelConcurrency": 9})
    assert found["LANGFUSE_INGESTION_QUEUE_PROCESSING_CONCURRENCY"] == "7"
    assert found["LANGFUSE_OTEL_INGESTION_QUEUE_PROCESSING_CONCURRENCY"] == "9"


def test_web_and_worker_write_structured_logs() -> None:
    config = {"application": {"logFormat": "json"}}
    assert web(**config)["LANGFUSE_LOG_FORMAT"] == worker(**config)["LANGFUSE_LOG_FORMAT"] == "json"
    assert web()["LANGFUSE_LOG_FORMAT"] == "text"


def test_without_a_public_route_links_use_the_internal_endpoint() -> None:
    found = web(ingress={"kind": "none"})
    assert found["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"] == "http://s3:9000"


@pytest.mark.parametrize("kind", ["istio", "none"])
def test_signed_links_use_the_host_of_the_buckets_if_there_is_one(kind: str) -> None:
    found = web(ingress={"kind": kind, "bucketHost": "files.example.net"})
    assert found["LANGFUSE_S3_MEDIA_UPLOAD_ENDPOINT"] == "https://files.example.net"
    assert found["LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT"] == "https://files.example.net"
    assert found["NEXTAUTH_URL"] == "https://langfuse.example.com"


def test_each_purpose_has_its_own_bucket_and_keys() -> None:
    found = web()
    uses = ("EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT")
    assert len({found[f"LANGFUSE_S3_{use}_BUCKET"] for use in uses}) == 3
    assert len({found[f"LANGFUSE_S3_{use}_SECRET_ACCESS_KEY"] for use in uses}) == 3


def test_the_heap_of_node_fits_the_memory_limit() -> None:
    found = web(web={"resources": {"memory": "4Gi"}})
    assert str(found["NODE_OPTIONS"]).split()[0] == "--max-old-space-size=3072"


def test_clickhouse_spills_at_half_of_the_memory_of_a_query() -> None:
    found = web(clickhouse={"resources": {"memory": "8Gi"}})
    assert found["CLICKHOUSE_MAX_BYTES_BEFORE_EXTERNAL_GROUP_BY"] == str(8 * 1024**3 * 3 // 10)


def test_servers_listen_on_all_interfaces_and_outlast_idle_timeouts_of_load_balancers() -> None:
    assert web()["HOSTNAME"] == worker()["HOSTNAME"] == "0.0.0.0"  # noqa: S104
    assert int(str(web()["KEEP_ALIVE_TIMEOUT"])) > 600_000


def test_the_public_url_is_https_where_the_edge_has_tls() -> None:
    assert web()["NEXTAUTH_URL"] == "https://langfuse.example.com"
    assert web(ingress={"tls": False})["NEXTAUTH_URL"] == "http://langfuse.example.com"


def test_build_time_variables_are_not_set() -> None:
    assert "LANGFUSE_CSP_ENFORCE_HTTPS" not in web()


def test_mail_and_license_are_set_in_web_and_worker() -> None:
    for found in (web(**EVERYTHING), worker(**EVERYTHING)):
        assert found["LANGFUSE_EE_LICENSE_KEY"] == ref("license_key")
        assert found["SMTP_CONNECTION_URL"] == ref("smtp_url")
        assert found["EMAIL_FROM_ADDRESS"] == "langfuse@example.com"
    for name in ("LANGFUSE_EE_LICENSE_KEY", "SMTP_CONNECTION_URL", "EMAIL_FROM_ADDRESS"):
        assert name not in web()


def test_web_has_an_admin_key_that_is_generated_unless_credentials_come_from_elsewhere() -> None:
    assert web()["ADMIN_API_KEY"] == ref("admin_api_key")
    assert "ADMIN_API_KEY" not in worker()
    elsewhere: dict[str, object] = {"source": "existing", "secret": "everything"}
    assert "ADMIN_API_KEY" not in web(credentials=elsewhere)
    own = {"adminApiKey": {"source": "existing", "secret": "admin", "key": "key"}}
    assert web(credentials={**elsewhere, "values": own})["ADMIN_API_KEY"] == ref("admin_api_key")


def test_allowed_target_hosts_are_set_for_llm_connections_only() -> None:
    found = worker(allowedTargets={"llm": {"hosts": ["litellm.gateway.svc.cluster.local", "llm.example.com"]}})
    listed = {name: value for name, value in found.items() if "WHITELISTED" in name}
    assert listed == {"LANGFUSE_LLM_CONNECTION_WHITELISTED_HOST": "litellm.gateway.svc.cluster.local,llm.example.com"}
    assert not [name for name in web() if "WHITELISTED" in name]


@pytest.mark.parametrize(
    ("version", "phase", "mode", "otel", "opt_in", "backfill"),
    [
        ("3.225.9", None, "legacy", "dual_write", "false", "false"),
        ("4.82.0", "legacy", "legacy", "dual_write", "false", "false"),
        ("4.82.0", "dual", "dual", "dual_write", "true", "false"),
        ("4.82.0", "backfill", "dual", "dual_write", "true", "true"),
        ("4.82.0", "events_only", "events_only", "direct", "true", "true"),
        ("4.82.0", None, "events_only", "direct", "true", "true"),
    ],
)
def test_a_phase_sets_its_variables_of_web_and_worker(
    version: str, phase: str | None, mode: str, otel: str, opt_in: str, backfill: str
) -> None:
    config = {"ingestion": {"phase": phase}} if phase else {}
    both = {"LANGFUSE_MIGRATION_V4_WRITE_MODE": mode, "LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN": opt_in}
    own = {
        "LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR": otel,
        "LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL": backfill,
    }
    for found, expected in ((web(version=version, **config), both), (worker(version=version, **config), both | own)):
        assert {name: value for name, value in found.items() if "MIGRATION_V4" in name} == expected


def test_each_environment_has_its_own_redis_key_prefix() -> None:
    prefixes: dict[str, set[object]] = {}
    for stack in ("dev", "staging", "prod"):
        found = settings(stack=stack)
        for variables in (
            environment.web_environment(found, STORES, refs(found)),
            environment.worker_environment(found, STORES, refs(found)),
        ):
            prefixes.setdefault(stack, set()).add(variables["REDIS_KEY_PREFIX"])
    assert prefixes == {stack: {f"langfuse-{stack}:"} for stack in ("dev", "staging", "prod")}


def test_the_first_start_creates_organization_project_owner_and_key_pair() -> None:
    found = first_start(
        firstStart={"organization": "Example", "project": "Chat", "ownerEmail": "a@example.com", "ownerName": "A"}
    )
    assert {name.removeprefix("LANGFUSE_INIT_"): value for name, value in found.items() if "_INIT_" in name} == {
        "ORG_ID": "langfuse-dev",
        "ORG_NAME": "Example",
        "PROJECT_ID": "langfuse-dev-project",
        "PROJECT_NAME": "Chat",
        "PROJECT_PUBLIC_KEY": ref("public_key"),
        "PROJECT_SECRET_KEY": ref("secret_key"),
        "USER_EMAIL": "a@example.com",
        "USER_NAME": "A",
        "USER_PASSWORD": ref("user_password"),
    }
    assert first_start(**EVERYTHING)["LANGFUSE_INIT_PROJECT_RETENTION"] == "90"


@pytest.mark.parametrize("version", ["4.16.0", "3.225.4"])
def test_the_first_start_has_the_variables_of_web_and_listens_on_loopback(version: str) -> None:
    config = {**EVERYTHING, "application": {"telemetry": True}, "version": version}
    one, other = first_start(**config), web(**config)
    differ = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    assert {name for name in differ if not name.startswith("LANGFUSE_INIT_")} == {"HOSTNAME", "TELEMETRY_ENABLED"}
    assert one["HOSTNAME"] == "127.0.0.1"
    assert not {name for name in other if name.startswith("LANGFUSE_INIT_")}


def test_extra_variables_are_set_in_the_programs_that_read_them() -> None:
    extra = {
        "LANGFUSE_S3_CONCURRENT_WRITES": "20",
        "LANGFUSE_TRACE_UPSERT_WORKER_CONCURRENCY": "10",
        "LANGFUSE_UI_SUPPORT_HREF": "https://example.com",
        "SLACK_CLIENT_SECRET": {"secret": "slack", "key": "client-secret"},
        "MY_PLUGIN": {"value": "on", "insist": True},
    }
    in_web, in_worker = web(extraEnv=extra), worker(extraEnv=extra)
    assert in_web["LANGFUSE_S3_CONCURRENT_WRITES"] == in_worker["LANGFUSE_S3_CONCURRENT_WRITES"] == "20"
    assert in_worker["LANGFUSE_TRACE_UPSERT_WORKER_CONCURRENCY"] == "10"
    assert "LANGFUSE_TRACE_UPSERT_WORKER_CONCURRENCY" not in in_web
    assert in_web["LANGFUSE_UI_SUPPORT_HREF"] == "https://example.com"
    assert "LANGFUSE_UI_SUPPORT_HREF" not in in_worker
    assert in_web["SLACK_CLIENT_SECRET"] == SecretRef(name="slack", key="client-secret")
    assert in_web["MY_PLUGIN"] == in_worker["MY_PLUGIN"] == "on"


def test_an_insisting_extra_variable_overrides_a_managed_one() -> None:
    found = web(extraEnv={"TELEMETRY_ENABLED": {"value": "true", "insist": True}})
    assert found["TELEMETRY_ENABLED"] == "true"


@pytest.mark.parametrize(
    ("variable", "given", "message"),
    [
        ("LANGFUSE_S3_CONCURENT_WRITES", "20", 'use "LANGFUSE_S3_CONCURRENT_WRITES", or add `insist: true`'),
        ("COMPLETELY_UNKNOWN", "20", "is not a name that Langfuse 4.16.0 is known to read; check the name"),
        ("LANGFUSE_MCP_BASE_URL", "http://web:3000", "is not a name that Langfuse 4.16.0 is known to read"),
        ("AUTH_DISABLE_SIGNUP", "true", "is set by langfuse:signIn.signUp"),
        ("REDIS_HOST", "other", "is set by langfuse:redis"),
        ("NEXT_PUBLIC_SIGN_UP_DISABLED", "true", "is set by the build of the image"),
        ("LANGFUSE_CSP_ENFORCE_HTTPS", "true", "is set by the build of the image"),
        ("SLACK_CLIENT_SECRET", "hunter2-hunter2", "is a credential"),
        ("REDIS_TLS_KEY_PASSPHRASE", "hunter2-hunter2", "is a credential"),
        ("HTTPS_PROXY", "http://user:hunter2@proxy.example.com", "is a credential"),
        ("lang fuse", "x", "is not the name of a variable"),
        ("LANGFUSE_LOG_FORMAT", {"secret": "a"}, "has no value; set a text, or `secret` and `key`"),
        ("LANGFUSE_LOG_FORMAT", {"value": "json", "secret": "a", "key": "b"}, "has a value and a Secret"),
        ("LANGFUSE_LOG_FORMAT", 5, "[secret] must be text"),
    ],
)
def test_an_invalid_extra_variable_is_refused(variable: str, given: object, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(version="4.16.0", extraEnv={variable: given})
    assert f"langfuse:extraEnv.{variable}: " in str(raised.value)
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_an_unknown_variable_gives_a_warning_for_releases_newer_than_the_list() -> None:
    found = settings(extraEnv={"LANGFUSE_S3_CONCURENT_WRITES": "20", "LANGFUSE_MCP_BASE_URL": "http://web:3000"})
    assert [one.partition(":")[0] for one in warnings(found)] == ["extraEnv.LANGFUSE_S3_CONCURENT_WRITES"]
    assert 'use "LANGFUSE_S3_CONCURRENT_WRITES", or add `insist: true` if it is correct' in warnings(found)[0]
    for program in (environment.web_environment, environment.worker_environment):
        assert program(found, STORES, refs(found))["LANGFUSE_S3_CONCURENT_WRITES"] == "20"


def test_allowlists_without_a_key_can_be_set_as_extra_variables() -> None:
    name = "LANGFUSE_HTTP_EVAL_WHITELISTED_HOST"
    assert web(extraEnv={name: "evaluators.example.com"})[name] == "evaluators.example.com"


@pytest.mark.parametrize(
    ("version", "vulnerable"),
    [("3.225.4", True), ("3.225.9", False), ("4.16.0", True), ("4.81.9", True), ("4.82.0", False), ("4.100.0", False)],
)
def test_a_release_with_a_published_vulnerability_gives_a_warning(version: str, vulnerable: bool) -> None:
    found = warnings(settings(version=version))
    assert bool(found) == vulnerable
    assert all(text.startswith(f'version: "{version}" has ') and "; upgrade to " in text for text in found)


@pytest.mark.parametrize("profile", PROFILES)
def test_prod_alone_gives_a_warning_because_no_default_has_room_for_its_data(profile: str) -> None:
    expected = ["backups.drillStorageClass"] if profile == "prod" else []
    assert [one.partition(":")[0] for one in warnings(settings(profile=profile))] == expected


@pytest.mark.parametrize(
    ("version", "python"), [("3.225.9", ">=3,<5"), ("4.16.0", ">=4.7,<5"), ("4.82.0", ">=4.7"), ("4.100.1", ">=4.7")]
)
def test_outputs_list_the_compatible_sdk_versions(version: str, python: str) -> None:
    found = settings(version=version)
    context = ApplicationContext(
        installation=Installation.of(found),
        settings=found,
        stores=STORES,
        refs=refs(found),
        checksum_annotations=lambda _: {},
        ca_bundles=(),
    )
    found_outputs = outputs(context, Endpoint(host="langfuse-web", port=3000))
    sdks = found_outputs["sdks"]
    assert isinstance(sdks, dict)
    assert sdks["langfuse"] == python
    assert f"`langfuse{python}`" in str(found_outputs["readme"])
