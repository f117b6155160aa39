"""A good set in a bucket: a dump of Postgres with an incremental backup of ClickHouse on a full one."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.data.backups.pods import BUCKET, clickhouse_on, clickhouse_pod, manifests, objects, set_pod
from tests.data.object_store.minio import Store
from tests.data.postgres.server import PostgresServer

KEYS = {
    "ENCRYPTION_KEY": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "SALT": "salt of the test",
    "PUBLIC_KEY": "pk-lf-of-the-test",
    "SECRET_KEY": "sk-lf-of-the-test",
}

LLM_KEY = "6465666768696a6b6c6d6e6f:3b70f3160b863cb35104729cb200478927b172:41f254068917b56d309c81aa4f86ac74"
"""`sk-proj-of-the-test`, encrypted with ENCRYPTION_KEY by AESGCM of the Python package cryptography, in the format of
packages/shared/src/encryption/encryption.ts."""

HASH = "cf47c4e05f5239ddb1a46de89687342290c5ca4cae2fcee59d10419e93fdd2be"
"""`sha256(SECRET_KEY + hex(sha256(SALT)))` by Python's hashlib, as packages/shared/src/server/auth/apiKeys.ts does."""

NAMES = '"Account", _prisma_migrations, llm_api_keys, api_keys, media'

TABLES = f"""
DROP TABLE IF EXISTS traces, {NAMES};
CREATE TABLE "Account" (id text);
INSERT INTO "Account" SELECT n::text FROM generate_series(1, 100) AS n;
CREATE TABLE _prisma_migrations (id text, finished_at timestamptz, migration_name text, rolled_back_at timestamptz);
INSERT INTO _prisma_migrations VALUES ('1', now(), '2024_first', NULL), ('2', NULL, '2025_given_up', now());
CREATE TABLE llm_api_keys (id text PRIMARY KEY, created_at timestamp, secret_key text NOT NULL);
INSERT INTO llm_api_keys VALUES ('1', now(), '{LLM_KEY}'), ('2', now(), 'older:format');
CREATE TABLE api_keys (id text PRIMARY KEY, public_key text, fast_hashed_secret_key text);
INSERT INTO api_keys VALUES ('1', 'pk-lf-of-the-test', '{HASH}'), ('2', 'pk-lf-other', NULL);
CREATE TABLE media (id text PRIMARY KEY, bucket_name text);
INSERT INTO media VALUES ('1', 'langfuse-prod-media');
"""  # noqa: S608  # our own values


@dataclass(frozen=True, kw_only=True)
class GoodSet:
    """The set, and everything in the bucket as it was written."""

    store: Store
    content: dict[str, bytes]
    id: str
    manifest: dict[str, Any]

    @property
    def chain(self) -> list[str]:
        """The folders of the backups of ClickHouse, the full one first."""
        return [f"clickhouse/{one}" for one in self.manifest["clickhouse"]["chain"]]

    def data(self, folder: str) -> str:
        """The key of the largest file with rows in a backup."""
        return max((key for key in self.content if key.startswith(folder)), key=lambda key: len(self.content[key]))

    def put(self, key: str, content: bytes) -> None:
        """Replace an object."""
        self.store.client().put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.store.client().delete_object(Bucket=BUCKET, Key=key)

    def mend(self) -> None:
        """Make the bucket what it was."""
        now = objects(self.store)
        for key in now.keys() - self.content.keys():
            self.delete(key)
        for key, content in self.content.items():
            if now.get(key) != content:
                self.put(key, content)

    def verdicts(self) -> dict[str, Any]:
        """The verdicts on all sets by their keys."""
        found = objects(self.store, "sets/").items()
        return {key: json.loads(content) for key, content in found if "/verdicts/" in key}


@pytest.fixture(scope="session")
def made(postgres: PostgresServer, store: Store, tmp_path_factory: pytest.TempPathFactory) -> GoodSet:
    """Fills both databases and backs them up, with the pods that do."""
    for key in objects(store):
        store.client().delete_object(Bucket=BUCKET, Key=key)
    folder = tmp_path_factory.mktemp("made")
    (folder / "server").mkdir()
    clickhouse = clickhouse_on(store, folder / "server")
    clickhouse.query("CREATE TABLE default.schema_migrations (version Int64, dirty UInt8, sequence UInt64) "
                     "ENGINE = MergeTree ORDER BY sequence")  # fmt: skip
    clickhouse.query("INSERT INTO default.schema_migrations VALUES (46, 0, 1)")
    pod = clickhouse_pod(clickhouse, store)
    for name in ("full", "increment"):
        done = pod.run(folder / name)
        assert done.code == 0, done.output
        clickhouse.query("INSERT INTO default.traces SELECT number, 'new' FROM numbers(500)")
    postgres.query(TABLES)
    done = set_pod(postgres, store).run(folder / "set", **{key: KEYS[key] for key in ("ENCRYPTION_KEY", "SALT")})
    assert done.code == 0, done.output
    ((path, manifest),) = manifests(store, "sets/").items()
    postgres.query(f"DROP TABLE {NAMES}")
    return GoodSet(store=store, content=objects(store), id=path.removeprefix("sets/"), manifest=manifest)


@pytest.fixture
def good(made: GoodSet) -> GoodSet:
    """The set, with nothing wrong in the bucket."""
    made.mend()
    return made
