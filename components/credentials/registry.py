"""Every credential of an installation: where pods read it, what it must look like, and whether it may change.

Pure: where each comes from is in `sources.py`, the resources are in `component.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic.alias_generators import to_camel

from components.credentials import formats
from components.credentials.formats import Format
from components.schema.purposes import Purpose

Kind = Literal["password", "hexadecimal", "api-key", "kms-key", "fixed", "issued"]
"""How a value comes to be: random ones by their alphabet; `fixed` is no secret, `issued` somebody else gives out."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """One value that pods read from a Secret."""

    id: str
    """The key in `credentials.values`, in snake case."""
    secret: str
    """The Secret that the stack makes for it, unless it exists already."""
    key: str
    kind: Kind
    format: Format
    restarts: tuple[str, ...] = ()
    """What starts again with a new value, and thereby applies it."""
    frozen: str | None = None
    """Why there can be no new value; None if there can."""
    permanent: bool = False
    """Whether data is lost with it: then it is read from a secret store once, and never again."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Plain entries of the same Secret, for a reader that wants them there."""
    length: int = 32
    """Random characters; 43 letters and digits are 256 bits, as 64 hexadecimal ones are."""

    @property
    def path(self) -> str:
        """Its configuration key."""
        return f"credentials.values.{to_camel(self.id)}"

    @property
    def conventional_name(self) -> str:
        """Its name in a secret store, or in a Secret that holds all."""
        return self.id.upper()

    @property
    def resource_name(self) -> str:
        """Name of the random resource that makes it. It never changes: the value would."""
        suffixes = ("_secret_access_key", "_password")
        short = self.id if self.id == "user_password" else _without(self.id, suffixes)
        return f"langfuse-{short.replace('_', '-')}"


def _without(text: str, suffixes: tuple[str, ...]) -> str:
    for suffix in suffixes:
        text = text.removesuffix(suffix)
    return text


_APPLICATION = ("web", "worker")
_KEY_READERS: Mapping[Purpose | Literal["root"], tuple[str, ...]] = {
    "root": ("object-store", "object-store-provisioning"),
    "events": ("object-store-provisioning", *_APPLICATION),
    "media": ("object-store-provisioning", *_APPLICATION),
    "exports": ("object-store-provisioning", *_APPLICATION),
    "backups": ("object-store-provisioning", "clickhouse"),
}

CREDENTIALS: Mapping[str, Credential] = {
    credential.id: credential
    for credential in (
        Credential(
            id="nextauth_secret",
            secret="langfuse-application",  # noqa: S106  # a name
            key="nextauth-secret",
            kind="password",
            format=formats.LONG_SECRET,
            restarts=("web, which signs everybody out",),
            length=43,
        ),
        Credential(
            id="salt",
            secret="langfuse-encryption",  # noqa: S106
            key="salt",
            kind="password",
            format=formats.LONG_SECRET,
            frozen="every API key is hashed with it, and none would be accepted any more",
            permanent=True,
            length=43,
        ),
        Credential(
            id="encryption_key",
            secret="langfuse-encryption",  # noqa: S106
            key="encryption-key",
            kind="hexadecimal",
            format=formats.ENCRYPTION_KEY,
            frozen="stored LLM keys and integrations are encrypted with it, and Langfuse can't encrypt them anew",
            permanent=True,
            length=64,
        ),
        Credential(
            id="user_password",
            secret="langfuse-first-start",  # noqa: S106
            key="user-password",
            kind="password",
            format=formats.USER_PASSWORD,
            frozen="Langfuse reads it only when it makes the user; change the password in the UI",
        ),
        Credential(
            id="public_key",
            secret="langfuse-first-start",  # noqa: S106
            key="public-key",
            kind="api-key",
            format=formats.PUBLIC_KEY,
            restarts=("first-start, which adds a key pair and leaves the old one valid until it is deleted in the UI",),
        ),
        Credential(
            id="secret_key",
            secret="langfuse-first-start",  # noqa: S106
            key="secret-key",
            kind="api-key",
            format=formats.SECRET_KEY,
            restarts=("first-start, which adds a key pair and leaves the old one valid until it is deleted in the UI",),
        ),
        Credential(
            id="postgres_password",
            secret="langfuse-postgres",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            frozen="Postgres reads it only when it makes its data, and would go on asking for the old one",
            beside={"username": "langfuse"},  # CloudNativePG takes both from one Secret
        ),
        Credential(
            id="clickhouse_password",
            secret="langfuse-clickhouse",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("clickhouse", *_APPLICATION),
        ),
        Credential(
            id="clickhouse_backup_password",
            secret="langfuse-clickhouse-backup",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("clickhouse",),
        ),
        Credential(
            id="clickhouse_interserver_password",
            secret="langfuse-clickhouse-interserver",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("clickhouse, whose replicas don't exchange data before all have restarted",),
        ),
        Credential(
            id="redis_password",
            secret="langfuse-redis",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("redis", *_APPLICATION),
        ),
        Credential(
            id="admin_api_key",
            secret="langfuse-admin",  # noqa: S106
            key="api-key",
            kind="password",
            format=formats.LONG_SECRET,
            restarts=("web",),
            length=48,
        ),
        Credential(
            id="object_store_encryption_key",
            secret="langfuse-object-store-encryption",  # noqa: S106
            key="encryption-key",
            kind="kms-key",
            format=formats.OBJECT_ENCRYPTION_KEY,
            frozen="MinIO knows one key, and could read no object that another one encrypted",
            permanent=True,
            length=43,
        ),
        *(
            credential
            for purpose in _KEY_READERS
            for credential in (
                Credential(
                    id=f"object_store_{purpose}_access_key_id",
                    secret=f"langfuse-object-store-{purpose}",
                    key="access-key-id",
                    kind="fixed",
                    format=formats.ACCESS_KEY_ID,
                    frozen="it is a name, no secret",
                ),
                Credential(
                    id=f"object_store_{purpose}_secret_access_key",
                    secret=f"langfuse-object-store-{purpose}",
                    key="secret-access-key",
                    kind="password",
                    format=formats.SECRET_ACCESS_KEY,
                    restarts=_KEY_READERS[purpose],
                    length=40,
                ),
            )
        ),
    )
}
"""By id, those that `credentials.values` can name."""
