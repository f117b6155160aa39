"""The table of credentials: where pods read each one, which format it has, and whether it can be rotated.

`sources.py` says where each value comes from. `component.py` creates the Secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic.alias_generators import to_camel

from components.credentials import formats
from components.credentials.formats import Format
from components.schema.purposes import Purpose

Kind = Literal["password", "hexadecimal", "api-key", "kms-key", "fixed", "third-party"]
"""How a value is generated. Random values differ by their alphabet; a `fixed` value is a name and not secret; a
`third-party` value is issued by another system and cannot be generated."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A value that pods read from a Secret."""

    id: str
    """The key in `credentials.values`, in snake case."""
    secret: str
    """The name of the Secret, unless the value is in an existing Secret."""
    key: str
    """The key in the Secret."""
    kind: Kind
    format: Format
    length: int = 32
    """Number of random characters. 43 letters and digits have 256 bits, as many as 64 hexadecimal digits."""
    restarts: tuple[str, ...] = ()
    """What restarts after a rotation, and thereby uses the new value."""
    overlaps: bool = False
    """Whether the old value is accepted until everything has restarted."""
    not_rotatable: str | None = None
    """Why the value cannot be rotated; None if it can be."""
    configured_at: str | None = None
    """The configuration key of its source, if that is not in `credentials.values`."""
    keepers: Mapping[str, str] = field(default_factory=dict)
    """What the value is for. Another value is generated when it changes."""
    removable: bool = False
    """Whether the value may be deleted: neither data nor a server of the stack depends on it."""
    irreplaceable: bool = False
    """Whether data is lost without the value. Such a value is read from a secret store once and never again."""
    extra_entries: Mapping[str, str] = field(default_factory=dict)
    """Further entries of the same Secret that are not secret."""

    @property
    def path(self) -> str:
        """The configuration key of its source."""
        return self.configured_at or f"credentials.values.{to_camel(self.id)}"

    @property
    def conventional_name(self) -> str:
        """Its name in a secret store, or its key in a Secret that holds all credentials."""
        return self.id.upper()

    @property
    def resource_name(self) -> str:
        """Name of the random resource that generates the value. It must never change: the value would change too."""
        short = self.id.removesuffix("_secret_access_key")
        if short != "user_password":
            short = short.removesuffix("_password")
        return f"langfuse-{short.replace('_', '-')}"


_APPLICATION = ("web", "worker")
_ACCESS_KEY_READERS: Mapping[Purpose | Literal["root", "prune", "verify"], tuple[str, ...]] = {
    "root": ("object-store", "object-store-provisioning"),
    "events": ("object-store-provisioning", *_APPLICATION),
    "media": ("object-store-provisioning", *_APPLICATION),
    "exports": ("object-store-provisioning", *_APPLICATION),
    "backups": ("object-store-provisioning", "clickhouse"),
    "prune": ("object-store-provisioning",),
    "verify": ("object-store-provisioning",),
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
            not_rotatable="every API key is hashed with it, and Langfuse would reject all of them",
            irreplaceable=True,
            length=43,
        ),
        Credential(
            id="encryption_key",
            secret="langfuse-encryption",  # noqa: S106
            key="encryption-key",
            kind="hexadecimal",
            format=formats.ENCRYPTION_KEY,
            not_rotatable="stored LLM keys and integrations are encrypted with it, and Langfuse cannot re-encrypt them",
            irreplaceable=True,
            length=64,
        ),
        Credential(
            id="user_password",
            secret="langfuse-first-start",  # noqa: S106
            key="user-password",
            kind="password",
            format=formats.USER_PASSWORD,
            not_rotatable="Langfuse reads it only when it creates the user; change the password in the UI",
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
            not_rotatable="Postgres reads it only when it initializes its data directory, and would keep the old one",
            extra_entries={"username": "langfuse"},  # CloudNativePG reads both from one Secret
        ),
        Credential(
            id="postgres_metrics_password",
            secret="langfuse-postgres-metrics",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("postgres", "metrics"),
            keepers={"role": "metrics"},
            removable=True,
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
            id="clickhouse_restore_password",
            secret="langfuse-clickhouse-restore",  # noqa: S106
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
            restarts=("clickhouse, whose replicas exchange no data until all of them have restarted",),
        ),
        Credential(
            id="redis_password",
            secret="langfuse-redis",  # noqa: S106
            key="password",
            kind="password",
            format=formats.PASSWORD,
            restarts=("redis", *_APPLICATION),
            overlaps=True,
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
            id="sign_in_proxy_cookie_secret",
            secret="langfuse-oauth2-proxy",  # noqa: S106
            key="cookie-secret",
            kind="password",
            format=formats.COOKIE_SECRET,
            restarts=("oauth2-proxy, which signs everybody out",),
        ),
        Credential(
            id="object_store_encryption_key",
            secret="langfuse-object-store-encryption",  # noqa: S106
            key="encryption-key",
            kind="kms-key",
            format=formats.OBJECT_ENCRYPTION_KEY,
            not_rotatable="MinIO has one key, and could not read objects that are encrypted with another one",
            irreplaceable=True,
            length=43,
        ),
        *(
            credential
            for purpose in _ACCESS_KEY_READERS
            for credential in (
                Credential(
                    id=f"object_store_{purpose}_access_key_id",
                    secret=f"langfuse-object-store-{purpose}",
                    key="access-key-id",
                    kind="fixed",
                    format=formats.ACCESS_KEY_ID,
                    not_rotatable="it is a name and not secret",
                ),
                Credential(
                    id=f"object_store_{purpose}_secret_access_key",
                    secret=f"langfuse-object-store-{purpose}",
                    key="secret-access-key",
                    kind="password",
                    format=formats.SECRET_ACCESS_KEY,
                    restarts=_ACCESS_KEY_READERS[purpose],
                    length=40,
                ),
            )
        ),
    )
}
"""By id: the credentials that `credentials.values` can configure."""
