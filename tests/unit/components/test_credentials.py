import re

import pulumi_kubernetes as k8s

from components.credentials import Credentials
from components.installation import Installation
from tests.unit.recorder import Recording, record


def credentials(*, protect: bool = False) -> Recording:
    installation = Installation(instance="langfuse-dev", namespace="langfuse-dev", protect=protect)
    return record(lambda: Credentials("credentials", installation))


def test_every_secret_value_is_marked_secret() -> None:
    secrets = credentials().of("Secret")
    assert len(secrets) == 12
    for secret in secrets:
        public = {"access-key-id"}
        for key in secret.inputs["stringData"].keys() - public:
            assert {"stringData", f"stringData.{key}"} & secret.secrets, f"{secret.name}.{key}"


def test_values_are_alphanumeric_and_long() -> None:
    for value in credentials().of("RandomPassword"):
        special = value.inputs.get("special", True) and value.inputs.get("overrideSpecial", "!")
        assert not special or special.isalnum(), value.name
        assert value.inputs["length"] >= 32


def test_the_encryption_key_is_64_hexadecimal_characters() -> None:
    secret = credentials().one("Secret", "langfuse-application")
    assert re.fullmatch("[0-9a-f]{64}", secret.inputs["stringData"]["encryption-key"])


def test_api_keys_are_a_prefix_and_a_uuid() -> None:
    data = credentials().one("Secret", "langfuse-first-start").inputs["stringData"]
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(f"pk-lf-{uuid}", data["public-key"])
    assert re.fullmatch(f"sk-lf-{uuid}", data["secret-key"])


def test_a_change_of_shape_never_replaces_a_value() -> None:
    recording = credentials()
    for value in recording.of("RandomPassword"):
        shape = set(value.inputs) - {"keepers"}
        assert shape <= value.ignore_changes


def test_values_are_protected_where_the_installation_is() -> None:
    for protect in (True, False):
        recording = credentials(protect=protect)
        for value in recording.of("RandomPassword"):
            assert (value.protect, value.retain_on_delete) == (protect, protect)


def test_nothing_random_shows_its_value_as_its_id() -> None:
    assert {item.kind for item in credentials() if item.type.startswith("random:")} == {"RandomPassword"}


def test_checksums_are_plain_and_one_per_secret() -> None:
    def program() -> None:
        installation = Installation(instance="langfuse-dev", namespace="langfuse-dev", protect=False)
        made = Credentials("credentials", installation)
        k8s.core.v1.ConfigMap("seen", data=made.annotations({made.postgres.name, made.application.salt.name}))

    seen = record(program).one("ConfigMap", "seen")
    assert not seen.secrets
    assert seen.inputs["data"].keys() == {"checksum/langfuse-application", "checksum/langfuse-postgres"}
    assert len(set(seen.inputs["data"].values())) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in seen.inputs["data"].values())
