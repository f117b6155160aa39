import pytest

from tests.unit.configuration import only_problem, refusal, settings

STORE = {"name": "doppler"}
MINE = {"source": "existing", "secret": "mine", "key": "value"}
SERVER = {"mode": "external", "host": "db.example.com"}


def epoch(number: int) -> dict[str, object]:
    return {"source": "generated", "epoch": number}


def values(**sources: object) -> dict[str, object]:
    return {"credentials": {"values": sources}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"credentials": {"source": "existing"}}, "langfuse:credentials.secret: is required with source existing"),
        (
            {"credentials": {"source": "external-secrets"}},
            "langfuse:credentials.secretStore: is required with source external-secrets",
        ),
        (
            values(salt={"source": "external-secrets", "remoteKey": "SALT"}),
            "langfuse:credentials.secretStore: is required with source external-secrets",
        ),
        (
            {"credentials": {"source": "external-secrets", "secretStore": {**STORE, "refreshInterval": "hourly"}}},
            'langfuse:credentials.secretStore.refreshInterval: "hourly" is not a duration',
        ),
        ({"credentials": {"source": "vault"}}, 'langfuse:credentials.source: "vault" must be one of'),
        (
            values(salt=epoch(2)),
            "langfuse:credentials.values.salt.epoch: 2 is not possible: every API key is hashed with it",
        ),
        (
            values(encryptionKey=epoch(2)),
            "langfuse:credentials.values.encryptionKey.epoch: 2 is not possible: stored LLM keys",
        ),
        (
            values(objectStoreEncryptionKey=epoch(2)),
            "langfuse:credentials.values.objectStoreEncryptionKey.epoch: 2 is not possible: MinIO has one key",
        ),
        (
            values(postgresPassword=epoch(2)),
            "langfuse:credentials.values.postgresPassword.epoch: 2 is not possible: Postgres",
        ),
        (values(userPassword=epoch(2)), "change the password in the UI"),
        (values(redisPassword=epoch(0)), "langfuse:credentials.values.redisPassword.epoch: 0 must be at least 1"),
        (
            values(publicKey=epoch(2)),
            "langfuse:credentials.values.secretKey.epoch: 1 differs from the epoch of publicKey (2)",
        ),
        (
            values(redisPassword={**MINE, "epoch": 2}),
            "langfuse:credentials.values.redisPassword.epoch: is not a known key",
        ),
        (values(redisPassword="hunter2"), "langfuse:credentials.values.redisPassword: "),
        (
            values(redisPassword={"source": "existing", "secret": "My Secret", "key": "k"}),
            "is not the name of a Secret",
        ),
        (values(redisPassword={"source": "existing", "secret": "mine", "key": "a/b"}), "is not a key of a Secret"),
        (
            {"postgres": SERVER},
            "langfuse:credentials.values.postgresPassword: is generated, and the external server (",
        ),
        (
            {"redis": {**SERVER}, **values(redisPassword=epoch(1))},
            "langfuse:credentials.values.redisPassword: is generated, and the external server (",
        ),
        (
            {"clickhouse": SERVER, **values(clickhousePassword=MINE, clickhouseBackupPassword=MINE)},
            "langfuse:credentials.values.clickhouseBackupPassword: is not read by anything",
        ),
    ],
)
def test_a_wrong_source_has_one_message(config: dict[str, object], message: str) -> None:
    assert message in only_problem(config)


@pytest.mark.parametrize(
    "config",
    [
        {"postgres": SERVER, **values(postgresPassword=MINE)},
        {"postgres": SERVER, "credentials": {"source": "external-secrets", "secretStore": STORE}},
        {"redis": SERVER, "credentials": {"source": "existing", "secret": "all.of-them"}},
        values(publicKey=epoch(3), secretKey=epoch(3)),
        values(redisPassword=epoch(2), clickhousePassword=epoch(5), nextauthSecret=epoch(2)),
        {
            "credentials": {"source": "external-secrets", "secretStore": {**STORE, "path": "langfuse/prod"}},
            "license": {},
            "mail": {"sender": "langfuse@example.com"},
            "signIn": {"providers": {"github": {"clientId": "x"}}},
        },
    ],
)
def test_unusual_valid_sources_are_accepted(config: dict[str, object]) -> None:
    settings(config)


@pytest.mark.parametrize(
    "config",
    [
        values(salt="hunter2"),
        {"license": "hunter2"},
        {"license": {"key": "hunter2"}},
        {"mail": {"sender": "langfuse@example.com", "smtpUrl": "hunter2"}},
        {"signIn": {"providers": {"github": {"clientId": "x", "clientSecret": "hunter2"}}}},
    ],
)
def test_a_credential_instead_of_its_source_is_refused_and_not_shown(config: dict[str, object]) -> None:
    error = refusal(config)
    assert "must be a map of keys" in error
    assert "hunter2" not in error
