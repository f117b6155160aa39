"""What is taken for a secret in plain text, and what is not."""

from pathlib import Path

import pytest
from langfuse_policies.facts.secret_text import (
    assigns_secret,
    has_secret_form,
    names_secret,
    random_token,
    secret_under,
)

from tests.scripts import SCRIPTS
from tests.unit.program import recorded


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "SALT", "apiKey", "secret-access-key", "ENCRYPTION_KEY", "requirepass", "AUTH_TOKEN",
     "x.client_secret", "DB_PASS", "NEXTAUTH_SECRET", "ENCRYPTION_KEY_2"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    ["PASSWORD_FILE", "ACCESS_KEY_ID", "secretName", "PUBLIC_KEY", "PASSAGE", "TOKENS", "SALTY", "MAX_TOKEN_COUNT",
     "keyspace", "AUTHOR"],
)  # fmt: skip
def test_names_of_other_things(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SALT", "summer2026"),
        ("POSTGRES_PASSWORD", "12345678"),
        ("DATABASE_URL", "postgresql://app:s3cr3t-word@db:5432/app"),
        ("WEBHOOK", "Bearer abcdef0123456789abcdef"),
        ("NOTE", "AKIAIOSFODNN7EXAMPLE"),
        ("example.com/note", "sk-lf-1234abcd-0000-4000-8000-000000000000"),
        ("ANYTHING", "q8Zr2LmVx0Tn5KcW9yHd3Ub7"),
    ],
)
def test_secrets_by_name_or_form(name: str, value: str) -> None:
    assert secret_under(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "$(PASSWORD_OF_POSTGRES)"),
        ("DATABASE_URL", "postgresql://app:$(PASSWORD)@db:5432/app"),
        ("DATABASE_URL", "postgresql://db:5432/app"),
        ("REDIS_AUTH", "true"),
        ("MAX_TOKEN", "4096"),
        ("PASSWORD", "/run/secrets/password"),
        ("checksum/config", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("IMAGE", "docker.io/langfuse/langfuse:4.16.0@sha256:" + 64 * "a"),
        ("app.kubernetes.io/name", "langfuse-object-store-backups"),
        ("UID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("AUTHORIZATION", "Bearer ${TOKEN}"),
    ],
)
def test_references_switches_paths_and_digests_are_no_secrets(name: str, value: str) -> None:
    assert not secret_under(name, value)


@pytest.mark.parametrize(
    "text",
    [
        "export PGPASSWORD=hunter2hunter2",
        "mc alias set store http://store:9000 root miniosecret",
        "curl -u admin:letmein-9 https://example.com",
        "requirepass myredissecret\n",
        "<password>clickhouse</password>",
        '{"apiKey": "pk-1234"}',
        "CREATE USER app IDENTIFIED WITH sha256_password BY 'app-pass'",
        "client --password swordfish --host db",
        "password: swordfish",
    ],
)
def test_what_assigns_a_secret(text: str) -> None:
    assert assigns_secret(text)


@pytest.mark.parametrize(
    ("text", "file_name"),
    [
        ('export PGPASSWORD="$POSTGRES_PASSWORD"', "run.sh"),
        ('export MC_HOST_store="http://$ACCESS_KEY_ID:$SECRET_ACCESS_KEY@store"', "run.sh"),
        ('<password from_env="CLICKHOUSE_PASSWORD"/>', "users.xml"),
        ("password=$(cat /run/password)", "run.sh"),
        ("password = read_password()", "run.py"),
        ("client --password-file /run/password", "run.sh"),
        ("CREATE USER app IDENTIFIED BY '${PASSWORD}'", "run.sh"),
        ("include /run/valkey/password.conf", "valkey.conf"),
        ("password_encryption = scram-sha-256", "postgresql.conf"),
    ],
)
def test_what_only_speaks_of_secrets(text: str, file_name: str) -> None:
    assert not assigns_secret(text, file_name=file_name)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=lambda path: path.name)
def test_our_scripts_hold_none(script: Path) -> None:
    text = script.read_text()
    assert not assigns_secret(text, file_name=script.name)
    assert not has_secret_form(text)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_our_config_maps_hold_none(stack: str) -> None:
    for config_map in recorded(stack).of("ConfigMap"):
        for key, text in config_map.inputs["data"].items():
            assert not assigns_secret(text, file_name=key), f"{config_map.name}: {key}"
            assert not has_secret_form(text), f"{config_map.name}: {key}"


@pytest.mark.parametrize("text", ["q8Zr2LmVx0Tn5KcW9yHd3Ub7", 4 * "0a1b2c3d4e5f6978"])
def test_a_random_word_is_a_token(text: str) -> None:
    assert random_token(text)


@pytest.mark.parametrize(
    "text", ["langfuse-clickhouse-interserver", 64 * "0", "two words q8Zr2LmVx0Tn5KcW9yHd3Ub7", "short1A", ""]
)
def test_words_and_names_are_no_tokens(text: str) -> None:
    assert not random_token(text)
