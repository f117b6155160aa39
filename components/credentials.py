"""Every credential of an installation: generated once, kept in encrypted state, read by pods through Secrets.

Each value is frozen once made: a later edit of its length or alphabet here changes no running installation,
since the stores and the data keep using the first value. SALT and ENCRYPTION_KEY never change at all: API keys are
hashed with the one and stored LLM keys are encrypted with the other.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.connections import PURPOSES, Purpose, SecretRef
from components.environment import ApplicationSecrets
from components.installation import Installation, child_options

_SHAPE = (
    *("length", "lower", "minLower", "minNumeric", "minSpecial", "minUpper"),
    *("number", "numeric", "overrideSpecial", "special", "upper"),
)
"""Inputs of a RandomPassword that would make a new one."""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """An access key of the object store."""

    access_key_id: SecretRef
    secret_access_key: SecretRef


class Credentials(pulumi.ComponentResource):
    """The Secrets of one installation, one per consumer, so that a pod is given no more than it needs."""

    def __init__(self, name: str, installation: Installation, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Credentials", name, {"namespace": installation.namespace}, opts)
        self._installation = installation
        self._child = child_options(self, opts)
        self._workload = installation.workload("credentials", component="credentials", version="1")
        self._checksums: dict[str, pulumi.Output[str]] = {}

        application = self._secret(
            "langfuse-application",
            {
                "nextauth-secret": self._password("nextauth-secret", length=43),
                "salt": self._password("salt", length=43),
                "encryption-key": self._hexadecimal("encryption-key", length=64),
            },
        )
        first_start = self._secret(
            "langfuse-first-start",
            {
                "user-password": self._password("user-password"),
                "public-key": self._api_key("public-key", "pk-lf-"),
                "secret-key": self._api_key("secret-key", "sk-lf-"),
            },
        )
        self.application = ApplicationSecrets(
            nextauth_secret=application["nextauth-secret"],
            salt=application["salt"],
            encryption_key=application["encryption-key"],
            user_password=first_start["user-password"],
            public_key=first_start["public-key"],
            secret_key=first_start["secret-key"],
        )

        self.postgres, self.clickhouse, self.clickhouse_backup, self.clickhouse_interserver, self.redis = (
            self._secret(f"langfuse-{use}", {"password": self._password(use)})["password"]
            for use in ("postgres", "clickhouse", "clickhouse-backup", "clickhouse-interserver", "redis")
        )
        self.object_store_root = self._key_pair("root")
        self.buckets: Mapping[Purpose, KeyPair] = {purpose: self._key_pair(purpose) for purpose in PURPOSES}
        self.secret_names = tuple(self._checksums)
        self.register_outputs({"secrets": list(self.secret_names)})

    def annotations(self, names: Iterable[str]) -> dict[str, pulumi.Output[str]]:
        """Pod annotations that change when one of the named Secrets does, so that its readers start again.

        A checksum tells nothing about what it was made from: every value has at least 128 random bits. It follows
        its Secret, so that no pod is made before what it reads.
        """
        return {f"checksum/{name}": self._checksums[name] for name in sorted(names)}

    def _secret(self, name: str, values: Mapping[str, pulumi.Input[str]]) -> dict[str, SecretRef]:
        secret = k8s.core.v1.Secret(
            name,
            metadata=self._installation.metadata(self._workload, name=name),
            string_data=values,
            opts=self._installation.stateful(self._child),
        )
        self._checksums[name] = pulumi.Output.unsecret(pulumi.Output.all(id=secret.id, **values).apply(_checksum))
        return {key: SecretRef(name=name, key=key) for key in values}

    def _key_pair(self, purpose: str) -> KeyPair:
        refs = self._secret(
            f"langfuse-object-store-{purpose}",
            {
                "access-key-id": f"{self._installation.instance}-{purpose}",
                "secret-access-key": self._password(f"object-store-{purpose}", length=40),
            },
        )
        return KeyPair(access_key_id=refs["access-key-id"], secret_access_key=refs["secret-access-key"])

    def _password(self, name: str, length: int = 32) -> pulumi.Output[str]:
        """Letters and digits only: upstream pastes passwords unencoded into connection URLs. 43 are 256 bits."""
        return self._random(name, length, special=False)

    def _hexadecimal(self, name: str, length: int) -> pulumi.Output[str]:
        """Digits 0 to f. Not of a RandomBytes: its value is its id, which state shows."""
        return self._random(name, length, lower=False, upper=False, override_special="abcdef")

    def _api_key(self, name: str, prefix: str) -> pulumi.Output[str]:
        """A Langfuse API key: a prefix and a UUID."""
        digits = self._hexadecimal(name, 32)
        return digits.apply(lambda text: f"{prefix}{uuid.UUID(hex=text, version=4)}")

    def _random(self, name: str, length: int, **alphabet: bool | str) -> pulumi.Output[str]:
        frozen = pulumi.ResourceOptions(parent=self, ignore_changes=list(_SHAPE))
        password = random.RandomPassword(
            f"langfuse-{name}",
            random.RandomPasswordArgs(length=length, **alphabet),  # type: ignore[arg-type]  # bool and str by name
            opts=self._installation.stateful(frozen),
        )
        return password.result


def _checksum(contents: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{key}={contents[key]}" for key in sorted(contents)).encode()).hexdigest()
