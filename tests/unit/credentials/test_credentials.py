import base64
import re
from collections.abc import Callable, Mapping

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.credentials.component import Credentials, CredentialsArgs
from components.credentials.registry import CREDENTIALS
from components.kubernetes.installation import Installation
from components.settings.load import parse
from components.stores.modes import installation_credentials
from tests.unit.program import recorded
from tests.unit.recorder import Recording, random_value, record

STORE = {"name": "doppler", "kind": "ClusterSecretStore"}


def credentials(
    sources: Mapping[str, object] | None = None,
    *,
    protect: bool = False,
    look: Callable[[Credentials], object] = lambda _: None,
    **config: object,
) -> Recording:
    given = {"credentials": sources} if sources else {}
    settings = parse("dev", {"host": "langfuse.example.com", **given, **config})

    def program() -> None:
        installation = Installation(instance="langfuse-dev", namespace="langfuse-dev", protect=protect)
        store = settings.credentials.secret_store
        args = CredentialsArgs(
            installation=installation,
            needed=installation_credentials(settings),
            store=store,
        )
        look(Credentials("credentials", args))

    return record(program)


def test_every_secret_value_is_marked_secret() -> None:
    secrets = credentials().of("Secret")
    assert len(secrets) == 18
    for secret in secrets:
        public = {"access-key-id"}
        for key in secret.inputs["stringData"].keys() - public:
            assert {"stringData", f"stringData.{key}"} & secret.secrets, f"{secret.name}.{key}"


def test_the_metadata_of_secrets_is_secret_in_the_state() -> None:
    secrets = recorded("prod").of("Secret")
    assert secrets
    for secret in secrets:
        assert secret.secret_outputs >= {"metadata", "data", "stringData"}, secret.name
        assert not any(path.startswith("metadata") for path in secret.secrets), secret.name


def test_values_are_alphanumeric_and_long() -> None:
    for value in credentials().of("RandomPassword"):
        special = value.inputs.get("special", True) and value.inputs.get("overrideSpecial", "!")
        assert not special or special.isalnum(), value.name
        assert value.inputs["length"] >= 32


def test_values_have_the_format_of_their_credential() -> None:
    refs: dict[str, tuple[str, str]] = {}
    recording = credentials(look=lambda made: refs.update({id_: (ref.name, ref.key) for id_, ref in made.refs.items()}))
    assert refs.keys() == CREDENTIALS.keys() - {"sign_in_proxy_cookie_secret", "postgres_metrics_password"}
    for id_, (name, key) in refs.items():
        value = recording.one("Secret", name).inputs["stringData"][key]
        assert CREDENTIALS[id_].format.check(value) is None, id_


def test_the_encryption_key_is_64_hexadecimal_characters() -> None:
    secret = credentials().one("Secret", "langfuse-encryption")
    assert re.fullmatch("[0-9a-f]{64}", secret.inputs["stringData"]["encryption-key"])


def test_the_encryption_key_of_objects_is_32_named_bytes_in_its_own_secret() -> None:
    data = credentials().one("Secret", "langfuse-object-store-encryption").inputs["stringData"]
    assert data.keys() == {"encryption-key"}
    name, _, key = data["encryption-key"].partition(":")
    assert name
    assert len(base64.b64decode(key, validate=True)) == 32


def test_api_keys_are_a_prefix_and_a_uuid() -> None:
    data = credentials().one("Secret", "langfuse-first-start").inputs["stringData"]
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"pk-lf-{uuid}", data["public-key"])
    assert re.fullmatch(f"sk-lf-{uuid}", data["secret-key"])


FIRST_RELEASE = {
    **dict.fromkeys(("user-password", "clickhouse", "clickhouse-backup", "clickhouse-interserver"), 32),
    **dict.fromkeys(("postgres", "redis", "public-key", "secret-key"), 32),
    **dict.fromkeys((f"object-store-{use}" for use in ("root", "events", "media", "exports", "backups")), 40),
    "nextauth-secret": 43,
    "salt": 43,
    "encryption-key": 64,
    "object-store-encryption-key": 43,
}
"""Names and lengths of the values that the first release generated: another name would generate another value."""


def test_the_values_of_the_first_release_are_kept() -> None:
    made = credentials().of("RandomPassword")
    assert {item.name.removeprefix("langfuse-"): item.inputs["length"] for item in made} == {
        **FIRST_RELEASE,
        "admin-api-key": 48,
        "object-store-prune": 40,
        "object-store-verify": 40,
        "clickhouse-restore": 32,
    }
    for item in made:
        assert (item.parent, "keepers" in item.inputs) == ("credentials", False)


def test_a_changed_length_or_alphabet_never_replaces_a_value() -> None:
    recording = credentials()
    for value in recording.of("RandomPassword"):
        shape = set(value.inputs) - {"keepers"}
        assert shape <= value.ignore_changes
        assert "keepers" not in value.ignore_changes


def test_values_are_protected_in_protected_installations() -> None:
    for protect in (True, False):
        recording = credentials(protect=protect)
        for value in recording.of("RandomPassword"):
            assert (value.protect, value.retain_on_delete) == (protect, protect)


def test_no_random_resource_has_its_value_as_its_id() -> None:
    assert {item.kind for item in credentials() if item.type.startswith("random:")} == {"RandomPassword"}


def annotations(sources: Mapping[str, object] | None, *ids: str) -> dict[str, str]:
    def look(made: Credentials) -> None:
        k8s.core.v1.ConfigMap("seen", data=made.annotations({made.refs[id_].name for id_ in ids}))

    seen = credentials(sources, look=look).one("ConfigMap", "seen")
    assert not seen.secrets
    found: dict[str, str] = seen.inputs["data"]
    return found


def test_each_secret_has_a_plain_checksum() -> None:
    seen = annotations(None, "postgres_password", "salt", "encryption_key")
    assert seen.keys() == {"checksum/langfuse-encryption", "checksum/langfuse-postgres"}
    assert len(set(seen.values())) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in seen.values())


# New epochs


def test_a_new_epoch_generates_one_new_value_and_warns_about_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = credentials({"values": {"redisPassword": {"source": "generated", "epoch": 2}}}, protect=True)
    redis = recording.one("RandomPassword", "langfuse-redis")
    assert redis.inputs["keepers"] == {"epoch": "2"}
    assert not redis.protect  # the engine does not replace protected resources
    assert recording.one("RandomPassword", "langfuse-clickhouse").protect
    (name,) = redis.hooks
    hook = recording.hooks[name]
    assert hook.opts is not None
    assert hook.opts.on_dry_run
    assert [item.name for item in recording if item.hooks] == [redis.name]
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    hook.callback(pulumi.ResourceHookArgs(urn="", id="", name="", type=""))
    assert all(part in said[0] for part in ("credentials.values.redisPassword", "redis", "web", "worker"))


# Existing Secrets


def test_an_existing_secret_is_referenced() -> None:
    refs: dict[str, str] = {}
    sources = {"values": {"postgresPassword": {"source": "existing", "secret": "my-postgres", "key": "password"}}}
    recording = credentials(sources, look=lambda made: refs.update(at=str(made.refs["postgres_password"])))
    assert refs == {"at": "SecretRef(name='my-postgres', key='password', optional=False)"}
    assert not [item for item in recording if item.name == "langfuse-postgres"]


def test_one_existing_secret_can_hold_every_credential() -> None:
    seen: dict[str, tuple[str, str]] = {}
    recording = credentials(
        {"source": "existing", "secret": "mine"},
        look=lambda made: seen.update({id_: (ref.name, ref.key) for id_, ref in made.refs.items()}),
    )
    assert seen["postgres_password"] == ("mine", "POSTGRES_PASSWORD")
    assert seen["encryption_key"] == ("mine", "ENCRYPTION_KEY")
    assert seen["object_store_encryption_key"] == ("mine", "OBJECT_STORE_ENCRYPTION_KEY")
    assert not [item for item in recording if item.type.startswith("random:")]
    names = {item.name for item in recording.of("Secret")}
    uses = ("root", "events", "media", "exports", "backups", "prune", "verify")
    assert names == {f"langfuse-object-store-{use}" for use in uses}
    for item in recording.of("Secret"):
        assert item.inputs["stringData"].keys() == {"access-key-id"}  # generated names, not secrets


# External secrets


def test_external_secrets_fill_one_secret_per_consumer() -> None:
    recording = credentials({"source": "external-secrets", "secretStore": STORE})
    copied = {item.name: item.inputs for item in recording.of("ExternalSecret")}
    assert "langfuse-encryption-external" in copied
    assert not [item for item in recording if item.type.startswith("random:")]
    spec = copied["langfuse-redis-external"]["spec"]
    assert copied["langfuse-redis-external"]["apiVersion"] == "external-secrets.io/v1"
    assert spec == {
        "refreshPolicy": "Periodic",
        "refreshInterval": "1h",
        "secretStoreRef": STORE,
        "target": {"name": "langfuse-redis-external", "creationPolicy": "Orphan", "deletionPolicy": "Retain"},
        "data": [{"secretKey": "password", "remoteRef": {"key": "REDIS_PASSWORD"}}],
    }


def test_pods_wait_until_external_secrets_are_ready() -> None:
    recording = credentials({"source": "external-secrets", "secretStore": STORE})
    for item in recording.of("ExternalSecret"):
        assert item.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}


PERMANENT = {
    "langfuse-encryption-external": ["encryption-key", "salt"],
    "langfuse-object-store-encryption-external": ["encryption-key"],
}


def test_encryption_keys_are_copied_once_and_are_immutable() -> None:
    recording = credentials({"source": "external-secrets", "secretStore": STORE}, protect=True)
    for item in recording.of("ExternalSecret"):
        spec, permanent = item.inputs["spec"], item.name in PERMANENT
        assert spec["refreshPolicy"] == ("CreatedOnce" if permanent else "Periodic")
        assert spec["target"].get("immutable", False) is permanent
        assert (item.protect, item.retain_on_delete) == (permanent, permanent)
        assert spec["target"]["creationPolicy"] == "Orphan"
        assert spec["target"]["deletionPolicy"] == "Retain"
    for name, keys in PERMANENT.items():
        data = recording.one("ExternalSecret", name).inputs["spec"]["data"]
        assert [entry["secretKey"] for entry in data] == keys


def test_a_path_has_a_property_for_each_credential() -> None:
    store = {**STORE, "path": "langfuse/prod", "refreshInterval": "15m"}
    recording = credentials({"source": "external-secrets", "secretStore": store})
    spec = recording.one("ExternalSecret", "langfuse-postgres-external").inputs["spec"]
    assert spec["data"][0]["remoteRef"] == {"key": "langfuse/prod", "property": "POSTGRES_PASSWORD"}
    assert spec["refreshInterval"] == "15m"


def test_mixed_sources_never_write_the_same_secret() -> None:
    sources = {
        "secretStore": STORE,
        "values": {
            "salt": {"source": "external-secrets", "remoteKey": "langfuse/prod", "property": "SALT"},
            "userPassword": {"source": "existing", "secret": "owner", "key": "password"},
        },
    }
    refs: dict[str, str] = {}
    recording = credentials(sources, look=lambda made: refs.update({id_: ref.name for id_, ref in made.refs.items()}))
    assert (refs["salt"], refs["encryption_key"]) == ("langfuse-encryption-external", "langfuse-encryption")
    assert recording.one("Secret", "langfuse-encryption").inputs["stringData"].keys() == {"encryption-key"}
    assert recording.one("Secret", "langfuse-first-start").inputs["stringData"].keys() == {"public-key", "secret-key"}
    written = [item.inputs["metadata"]["name"] for item in recording if item.kind in {"Secret", "ExternalSecret"}]
    assert len(written) == len(set(written))


def test_a_changed_remote_key_restarts_the_pods_that_read_it() -> None:
    def sources(remote_key: str) -> dict[str, object]:
        value = {"source": "external-secrets", "remoteKey": remote_key}
        return {"secretStore": STORE, "values": {"redisPassword": value}}

    one, other = (annotations(sources(name), "redis_password") for name in ("a", "b"))
    assert one.keys() == other.keys() == {"checksum/langfuse-redis-external"}
    assert one != other


def test_secrets_that_nothing_reads_are_not_created() -> None:
    sources = {
        "values": {
            name: {"source": "existing", "secret": "mine", "key": name}
            for name in (
                "clickhousePassword",
                *(
                    f"objectStore{use}{part}"
                    for use in ("Events", "Media", "Exports", "Backups")
                    for part in ("AccessKeyId", "SecretAccessKey")
                ),
            )
        }
    }
    buckets = {purpose: f"b-{purpose}" for purpose in ("events", "media", "exports", "backups")}
    recording = credentials(
        sources,
        clickhouse={"mode": "external", "host": "ch.example.com"},
        objectStore={"mode": "external", "region": "eu-west-1", "buckets": buckets},
    )
    names = {item.name for item in recording.of("Secret")}
    assert not [name for name in names if "clickhouse" in name or "object-store" in name]


def test_imported_values_of_the_wrong_format_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {"langfuse-postgres", "langfuse-redis", "langfuse-object-store-encryption-key"}

    def imported(name: str, length: int) -> str:
        return "p@ss:word/with#signs" if name in bad else random_value(name, length)

    monkeypatch.setattr("tests.unit.recorder.random_value", imported)
    with pytest.raises(pulumi.RunError) as raised:
        credentials()
    lines = str(raised.value).splitlines()[1:]
    assert [line.strip().split(":")[1] for line in lines] == [
        f"credentials.values.{name}" for name in ("postgresPassword", "redisPassword", "objectStoreEncryptionKey")
    ]
    assert "p@ss" not in str(raised.value)
