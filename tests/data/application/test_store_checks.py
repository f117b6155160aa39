"""The check of the stores, against real servers that can't do what Langfuse needs."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.application.store_checks import FOLDER, NODE, check_stores
from tests.data.certificates import certificates
from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.data.postgres.server import server_folder, started
from tests.data.probe_application.installation import Installation, clickhouse, redis
from tests.data.rendered import container, secrets
from tests.servers import answers, free_port, program, running

JOB = ("Job", "langfuse-migrations", "stores")
ROOT = {
    "LANGFUSE_S3_MEDIA_UPLOAD_ACCESS_KEY_ID": "$(langfuse-object-store-root/access-key-id)",
    "LANGFUSE_S3_MEDIA_UPLOAD_SECRET_ACCESS_KEY": "$(langfuse-object-store-root/secret-access-key)",
}
EXTERNAL = {"MANAGED_STORES": ""}
"""Errors name keys of the stack file."""


@pytest.fixture(scope="module")
def installation(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The four stores of the stack dev."""
    folder = tmp_path_factory.mktemp("stores")
    with contextlib.ExitStack() as stack:
        yield Installation(
            folder=folder,
            postgres=stack.enter_context(started(tmp_path_factory.mktemp("postgres"))),
            object_store=store,
            redis_port=stack.enter_context(redis(folder)),
            clickhouse_ports=stack.enter_context(clickhouse(folder)),
        )


@pytest.fixture(scope="module")
def variables(installation: Installation) -> Mapping[str, str]:
    """The rendered variables, with the addresses of the four stores."""
    return installation.variables(container(*JOB))


def filled(text: str) -> str:
    """Replace `$(SECRET/KEY)` by values of Secrets, which are rendered only where a test needs them."""
    return re.sub(r"\$\(([\w-]+)/([\w-]+)\)", lambda found: secrets()[found[1], found[2]], text)


def one(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def test_stores_of_the_stack_pass_every_check_and_are_left_as_they_were(
    installation: Installation, variables: Mapping[str, str]
) -> None:
    checked = check_stores(variables, WAIT_SECONDS="60")
    assert [line for line in checked.lines if line["outcome"] != "ok"] == [], checked.output
    assert checked.code == 0
    assert {line["store"] for line in checked.lines} == {"postgres", "clickhouse", "redis", "object-store"}
    assert len(checked.lines) > 20
    assert installation.postgres.query("SELECT count(*) FROM pg_class WHERE relname LIKE 'langfuse_check%'") == "0"
    assert installation.postgres.query("SELECT count(*) FROM pg_type WHERE typname LIKE 'langfuse_check%'") == "0"
    for purpose in ("events", "media"):  # exports expire: their keys can't delete
        found = installation.object_store.client().list_objects_v2(
            Bucket=f"langfuse-dev-{purpose}", Prefix="check-stores/"
        )
        assert found["KeyCount"] == 0


def test_each_store_has_its_own_users_and_they_need_no_more(variables: Mapping[str, str]) -> None:
    secret = {value for name, value in variables.items() if name.endswith(("PASSWORD", "SECRET_ACCESS_KEY", "_AUTH"))}
    for replaced in ({}, {"DATABASE_URL": variables["DATABASE_URL"].replace("langfuse:", "langfuse:wrong")}):
        checked = check_stores(variables, **replaced)
        assert [value for value in secret if value in checked.output] == []


@pytest.mark.long
def test_a_store_below_the_floor_of_the_release_is_refused_by_its_own_answer(variables: Mapping[str, str]) -> None:
    floors = {"MINIMUM_POSTGRES": "99", "MINIMUM_REDIS": "99.1", "LANGFUSE_VERSION": "9.1.0"}
    checked = check_stores(variables, "postgres", "redis", **floors, **EXTERNAL)
    assert checked.code == 1
    assert re.search(
        r"connection: Postgres \d+.* is too old for Langfuse 9.1.0; use Postgres 99", one(checked.of("postgres"))
    )
    assert re.search(r"(Redis|Valkey) \d.* is too old for Langfuse 9.1.0; use Redis 99.1", one(checked.of("redis")))
    assert (variables["MINIMUM_POSTGRES"], variables["MINIMUM_REDIS"]) == ("15", "7.0")


@pytest.mark.long
def test_a_store_without_a_kms_refuses_encryption(tmp_path: Path, variables: Mapping[str, str]) -> None:
    unencrypted = {
        name: value for name, value in server_variables(tmp_path).items() if not name.startswith("MINIO_KMS_")
    }
    with serving(tmp_path, unencrypted) as store:
        assert provision(store, tmp_path).code == 0
        there = {
            name: store.url for name in variables if name.startswith("LANGFUSE_S3_") and name.endswith("_ENDPOINT")
        }
        sse = {f"LANGFUSE_S3_{use}_SSE": "AES256" for use in ("EVENT_UPLOAD", "MEDIA_UPLOAD", "BATCH_EXPORT")}
        refused = check_stores({**variables, **there, **sse, **EXTERNAL}, "object-store")
        assert refused.code == 1
        failed = refused.of("object-store")
        assert [line.partition(",")[0] for line in failed] == ["events", "media", "exports"]
        assert all("501 NotImplemented" in line for line in failed), failed
        assert all("set langfuse:objectStore.encryption to none" in line for line in failed), failed
        assert check_stores({**variables, **there, **EXTERNAL}, "object-store").of("object-store") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        (
            {**ROOT, "LANGFUSE_S3_MEDIA_UPLOAD_BUCKET": "missing"},
            "create the bucket, or correct langfuse:objectStore.buckets.media",
        ),
        ({"LANGFUSE_S3_MEDIA_UPLOAD_SECRET_ACCESS_KEY": "wrong-key"}, "credentials.values.objectStoreMediaAccessKeyId"),
        ({"LANGFUSE_S3_MEDIA_UPLOAD_BUCKET": "langfuse-dev-events"}, "media, write: 403 AccessDenied"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faults_of_a_bucket_name_its_key(variables: Mapping[str, str], replaced: dict[str, str], said: str) -> None:
    replaced = {name: filled(value) for name, value in replaced.items()}
    checked = check_stores(variables, "object-store", **replaced, **EXTERNAL)
    assert checked.code == 1
    assert said in one(checked.of("object-store"))
    assert "wrong-key" not in checked.output
    assert check_stores(variables, "object-store", **replaced, **EXTERNAL, STORE_CHECKS="report").code == 0


@contextlib.contextmanager
def other_redis(folder: Path, *options: str, port: int | None = None) -> Iterator[dict[str, str]]:
    """Run another Redis, and yield the variables of its address."""
    port = port or free_port()
    options = ("--cluster-port", str(free_port()), *map(filled, options))
    server = program("redis-server", "valkey-server", package="redis-server")
    command: list[str | Path] = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options]
    with running(command, os.environ, lambda: answers(port), log=folder / "redis.log"):
        yield {"REDIS_PORT": str(port)}


PASSWORD = ("--requirepass", "$(langfuse-redis/password)")


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "replaced", "said"),
    [
        ((*PASSWORD, "--maxmemory-policy", "allkeys-lru"), {}, "policy: maxmemory-policy is allkeys-lru"),
        (("--requirepass", "another"), {}, "credentials.values.redisPassword"),
        ((*PASSWORD, "--cluster-enabled", "yes"), {}, "set langfuse:redis.topology to cluster"),
        (PASSWORD, {"REDIS_CLUSTER_ENABLED": "true"}, "set langfuse:redis.topology to single"),
        (
            ("--user", "default", "on", f">{PASSWORD[1]}", "~*", "&*", "+@all", "-eval"),
            {},
            "commands: NOPERM",
        ),
        ((*PASSWORD, "--replicaof", "127.0.0.1 1"), {}, "set langfuse:redis.host to the primary"),
        (PASSWORD, {"REDIS_TLS_ENABLED": "true"}, "langfuse:redis.tls"),
    ],
    ids=["eviction", "password", "cluster", "no cluster", "acl", "replica", "plain"],
)
def test_faults_of_redis_name_their_key(
    tmp_path: Path, variables: Mapping[str, str], options: tuple[str, ...], replaced: dict[str, str], said: str
) -> None:
    with other_redis(tmp_path, *options) as address:
        nodes = {"REDIS_CLUSTER_NODES": f"127.0.0.1:{address['REDIS_PORT']}"}
        checked = check_stores({**variables, **address, **nodes, **replaced, **EXTERNAL}, "redis")
    assert checked.code == 1
    assert any(said in line for line in checked.of("redis")), checked.of("redis")


def test_sentinels_lead_to_the_primary(tmp_path: Path, variables: Mapping[str, str]) -> None:
    password = filled(PASSWORD[1])
    with other_redis(tmp_path, *PASSWORD, "--appendonly", "yes") as address:
        port, configuration = free_port(), tmp_path / "sentinel.conf"
        monitored = f"sentinel monitor main 127.0.0.1 {address['REDIS_PORT']} 1\nsentinel auth-pass main {password}"
        configuration.write_text(f"port {port}\nbind 127.0.0.1\nrequirepass {password}\n{monitored}\n")
        server = program("redis-server", "valkey-server", package="redis-server")
        command: list[str | Path] = [server, configuration, "--sentinel"]
        with running(command, os.environ, lambda: answers(port), log=tmp_path / "sentinel.log"):
            given = {
                **variables,
                **EXTERNAL,
                "REDIS_SENTINEL_ENABLED": "true",
                "REDIS_SENTINEL_NODES": f"127.0.0.1:{port}",
                "REDIS_SENTINEL_MASTER_NAME": "main",
                "REDIS_SENTINEL_PASSWORD": password,
            }
            assert check_stores(given, "redis").of("redis") == []
            other = check_stores({**given, "REDIS_SENTINEL_MASTER_NAME": "else"}, "redis")
            assert "langfuse:redis.masterName" in one(other.of("redis"))
            wrong = check_stores({**given, "REDIS_SENTINEL_PASSWORD": "another"}, "redis")
            assert "set REDIS_SENTINEL_PASSWORD" in one(wrong.of("redis"))
            assert "redisPassword" not in one(wrong.of("redis"))


def test_redis_needs_the_ca_and_the_name_of_its_certificate(tmp_path: Path, variables: Mapping[str, str]) -> None:
    with certificates(tmp_path) as made:
        options = (
            "--tls-port",
            port := str(free_port()),
            "--tls-cert-file",
            str(made["server"]),
            "--tls-key-file",
            str(tmp_path / "server.key"),
            "--tls-auth-clients",
            "no",
        )
        with other_redis(tmp_path, *PASSWORD, *options):
            given = {**variables, "REDIS_TLS_ENABLED": "true", "REDIS_PORT": port, **EXTERNAL}
            trusted = {"REDIS_TLS_CA_PATH": str(made["ca"]), "REDIS_HOST": "localhost"}
            assert check_stores({**given, **trusted}, "redis").of("redis") == []
            other = check_stores({**given, **trusted, "REDIS_TLS_CA_PATH": str(made["other"])}, "redis")
            assert "set langfuse:redis.ca" in one(other.of("redis"))
            named = check_stores({**given, **trusted, "REDIS_HOST": "127.0.0.1"}, "redis")
            assert "a name in the certificate" in one(named.of("redis"))


@pytest.fixture(scope="module")
def open_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Postgres outside the stack that admits every role. Yields its port."""
    made = server_folder(tmp_path_factory.mktemp("open-postgres"))
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run(
        [made.binaries / "initdb", "-D", made.data, *options], user=made.user, check=True, cwd="/", capture_output=True
    )
    port = free_port()
    command: list[str | Path] = [
        made.binaries / "postgres",
        "-D",
        made.data,
        "-p",
        str(port),
        "-k",
        made.sockets,
        "-c",
        "timezone=UTC",
    ]
    with running(command, os.environ, lambda: answers(port), log=made.folder / "log", user=made.user):
        psql(port, "CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE berlin LOGIN")
        psql(port, "ALTER ROLE berlin SET timezone TO 'Europe/Berlin'")
        for name in ("empty", "foreign_tables", "other"):
            psql(port, f"CREATE DATABASE {name} OWNER owner")
        psql(
            port, "CREATE TABLE _prisma_migrations (id int); CREATE TABLE projects (id int)", "foreign_tables", "owner"
        )
        psql(port, "CREATE TABLE articles (id int)", "other", "owner")
        psql(port, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C' OWNER owner")
        yield port


def psql(port: int, statement: str, database: str = "postgres", role: str = "postgres") -> None:
    program_path = program("psql", package="postgresql-client")
    words = ["-qXh", "127.0.0.1", "-p", str(port), "-U", role, "-d", database, "-v", "ON_ERROR_STOP=1"]
    for each in statement.split(";"):
        subprocess.run([program_path, *words, "-c", each], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("role", "database", "said"),
    [
        ("reader", "empty", "definitions: 42501 permission denied for schema public; make the role the owner"),
        ("reader", "foreign_tables", "2 tables belong to owner"),
        ("owner", "other", "1 tables of another application (Prisma: P3005); set langfuse:postgres.database"),
        ("owner", "missing", "correct langfuse:postgres.database"),
        ("nobody", "empty", "langfuse:postgres.username"),
        ("owner", "latin", "encoding LATIN1"),
    ],
)
def test_faults_of_postgres_name_their_key(
    open_postgres: int, variables: Mapping[str, str], role: str, database: str, said: str
) -> None:
    url = f"postgresql://{role}:secret-of-mine@127.0.0.1:{open_postgres}/{database}"
    checked = check_stores(variables, "postgres", DATABASE_URL=url, DIRECT_URL=url, **EXTERNAL)
    assert checked.code == 1
    assert any(said in line for line in checked.of("postgres")), checked.lines
    assert "secret-of-mine" not in checked.output


def test_an_owner_of_an_empty_database_passes_and_a_time_zone_is_a_warning(
    open_postgres: int, variables: Mapping[str, str]
) -> None:
    url = f"postgresql://owner@127.0.0.1:{open_postgres}/empty"
    checked = check_stores(variables, "postgres", DATABASE_URL=url, DIRECT_URL=url, **EXTERNAL)
    assert (checked.code, checked.of("postgres", "warning")) == (0, [])
    psql(open_postgres, "GRANT CREATE ON SCHEMA public TO berlin", "empty")
    zoned = url.replace("owner", "berlin")
    checked = check_stores(variables, "postgres", DATABASE_URL=zoned, DIRECT_URL=zoned, **EXTERNAL)
    assert checked.code == 0
    assert "Europe/Berlin" in one(checked.of("postgres", "warning"))


def test_a_wrong_password_of_postgres_names_the_credential(variables: Mapping[str, str]) -> None:
    url = variables["DATABASE_URL"].replace(secrets()["langfuse-postgres", "password"], "wrong-password")
    failed = check_stores(variables, "postgres", DATABASE_URL=url, **EXTERNAL)
    assert "correct langfuse:credentials.values.postgresPassword" in one(failed.of("postgres"))
    assert "wrong-password" not in failed.output


@pytest.mark.parametrize("database", ["postgres", "clickhouse"])
def test_a_password_that_a_url_would_divide_is_refused_before_a_client_shows_a_part_of_it(
    variables: Mapping[str, str], database: str
) -> None:
    password = "1234/#+half-of-it"  # noqa: S105  # of the test
    url = variables["DATABASE_URL"].replace(secrets()["langfuse-postgres", "password"], password)
    given = {"DATABASE_PASSWORD": password, "DATABASE_URL": url, "CLICKHOUSE_PASSWORD": password}
    checked = check_stores(variables, database, **given, **EXTERNAL)
    assert f"(langfuse:credentials.values.{database}Password)" in one(checked.of(database))
    assert "half-of-it" not in checked.output
    assert "1234" not in checked.output


def test_postgres_without_tls_is_refused_if_tls_is_required(open_postgres: int, variables: Mapping[str, str]) -> None:
    url = f"postgresql://owner@127.0.0.1:{open_postgres}/empty?sslmode=require&sslaccept=strict"
    assert "set langfuse:postgres.tls to disable" in one(
        check_stores(variables, "postgres", DATABASE_URL=url, DIRECT_URL=url, **EXTERNAL).of("postgres")
    )


GRANTS = "GRANT SELECT, INSERT, ALTER, CREATE, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, SHOW ON default.*"


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (" CREATE,", "GRANT CREATE TABLE ON default."),
        (" ALTER,", "GRANT ALTER ADD COLUMN"),
        (" INSERT,", "GRANT INSERT"),
    ],
)
def test_a_user_of_clickhouse_without_grants_gets_the_statement_that_grants_them(
    tmp_path: Path, installation: Installation, without: str, said: str
) -> None:
    with clickhouse(
        tmp_path,
        users=lambda text: text.replace(without, " SHOW,"),
    ) as ports:
        other = replace(installation, clickhouse_ports=ports)
        checked = check_stores(other.variables(container(*JOB)), "clickhouse", **EXTERNAL, WAIT_SECONDS="20")
    assert checked.code == 1
    assert any(said in line and "TO langfuse" in line for line in checked.of("clickhouse")), checked.lines


@pytest.mark.long
@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"CLICKHOUSE_PASSWORD": "wrong-password"}, "langfuse:credentials.values.clickhousePassword"),
        ({"CLICKHOUSE_URL": "http://127.0.0.1:1"}, "langfuse:clickhouse.host"),
        ({"CLICKHOUSE_DB": "missing"}, "langfuse:clickhouse.database"),
    ],
    ids=str,
)
def test_faults_of_clickhouse_name_their_key(variables: Mapping[str, str], replaced: dict[str, str], said: str) -> None:
    checked = check_stores(variables, "clickhouse", **replaced, **EXTERNAL)
    assert checked.code == 1
    assert any(said in line for line in checked.of("clickhouse")), checked.lines
    assert "wrong-password" not in checked.output


def test_a_store_that_starts_late_is_waited_for(tmp_path: Path, variables: Mapping[str, str]) -> None:
    port = str(free_port())
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(check_stores, variables, "redis", REDIS_PORT=port, WAIT_SECONDS="30")
        time.sleep(5)
        with other_redis(tmp_path, *PASSWORD, "--appendonly", "yes", port=int(port)):
            checked = waiting.result()
    assert (checked.code, checked.of("redis")) == (0, [])


def test_a_fault_of_a_managed_store_leads_to_its_log(variables: Mapping[str, str]) -> None:
    checked = check_stores(variables, "redis", REDIS_PORT="1")
    assert "kubectl --namespace langfuse-dev logs --selector app.kubernetes.io/name=redis" in one(checked.of("redis"))


@pytest.mark.parametrize(
    ("store", "error", "said"),
    [
        ("clickhouse", "701 Requested cluster 'default' not found", "set langfuse:clickhouse.clustered to false"),
        ("clickhouse", "62 No macro 'shard' in config (NO_ELEMENTS_IN_CONFIG)", "define the macros shard and replica"),
        ("clickhouse", "DEPTH_ZERO_SELF_SIGNED_CERT self-signed certificate", "set langfuse:network.ca"),
        ("postgres", "P1011 Error opening a TLS connection: self-signed certificate", "set langfuse:postgres.ca"),
        ("postgres", "P1000 Authentication failed against database server", "credentials.values.postgresPassword"),
        ("postgres", "P1001 Can't reach database server at `db:5432`", "check langfuse:postgres.host"),
        ("object-store", "301 PermanentRedirect", "correct langfuse:objectStore.region"),
        ("object-store", "getaddrinfo ENOTFOUND b.s3.example.org", "langfuse:objectStore.forcePathStyle to true"),
        ("object-store", "400 MissingContentMD5", "LANGFUSE_S3_DELETE_OBJECTS_CHECKSUM_ALGORITHM"),
        ("object-store", "CredentialsProviderError Could not load credentials", "langfuse:objectStore.identityAnn"),
        ("redis", "All sentinels are unreachable and retry is disabled.", "langfuse:redis.masterName"),
    ],
)
def test_errors_of_other_clients_and_servers_are_explained(store: str, error: str, said: str) -> None:
    """In their words: of Prisma, of AWS, and of servers that can't run here."""
    program_text = """
        const [store, text] = process.argv.slice(1);
        const { Results } = require("./store-results.js");
        const results = new Results(store, { MANAGED_STORES: "", NAMESPACE: "langfuse-dev" });
        const bucket = { purpose: "media", place: { Bucket: "b" }, encryption: {} };
        const given = { clickhouse: "langfuse", "object-store": bucket };
        results.explain = (error) => require(`./check-${store}.js`).explain(error, given[store]);
        results.stop(new Error(text));
        console.log(results.lines[0].fix);
    """
    done = subprocess.run(
        [NODE, "-e", program_text, store, error], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    assert said in done.stdout


def test_a_long_message_shows_no_part_of_a_credential() -> None:
    program_text = """
        const { reason, redact } = require("./store-results.js");
        const secret = "s3cret-of-this-test";
        const results = new Set();
        for (let words = 60; words < 90; words++) {
          const message = "word ".repeat(words) + "x".repeat(words % 5) + ` ${secret} and more `.repeat(9);
          const text = reason(new Error(message));
          results.add(redact(text, { REDIS_AUTH: secret }));
        }
        console.log([...results].join(" "));
    """
    done = subprocess.run([NODE, "-e", program_text], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert "s3" not in done.stdout
    assert "***" in done.stdout
