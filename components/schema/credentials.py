"""Where each credential comes from: made by the stack, copied from a secret store, or brought along as a Secret."""

from typing import Annotated, Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.values import DnsLabel, Duration, SecretKey, SecretName


class Generated(Model):
    """A value that the stack makes once and keeps in its encrypted state."""

    source: Literal["generated"]
    epoch: int = Field(
        default=1, ge=1, description="Counts the values there have been: one more makes a new one. Never count down."
    )


class Existing(Model):
    """A key of a Secret in the stack's namespace. Its pods don't notice a new value: restart them then."""

    source: Literal["existing"]
    secret: SecretName = Field(description="The Secret.")
    key: SecretKey = Field(description="Its key.")


class External(Model):
    """An entry of the secret store. Pods don't notice a new value: restart them then."""

    source: Literal["external-secrets"]
    remote_key: str = Field(min_length=1, description="Name or path of the entry.")
    property: str | None = Field(default=None, min_length=1, description="Field of an entry that has several.")


Source = Annotated[Generated | Existing | External, Field(discriminator="source")]
Reference = Annotated[Existing | External, Field(discriminator="source")]
"""A credential that somebody else issues, so that it can't be generated."""


class SecretStore(Model):
    """A store that External Secrets reads: Doppler, Vault, a cloud's secret manager ..."""

    name: DnsLabel = Field(description="Name of the SecretStore or ClusterSecretStore.")
    kind: Literal["SecretStore", "ClusterSecretStore"] = Field(
        default="SecretStore", description="A store of the stack's namespace, or one of the whole cluster."
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="Entry that holds a field for each credential; an entry for each if not given.",
    )
    refresh_interval: Duration = Field(default="1h", description="How often values are read again.")


class CredentialSources(Model):
    """Sources of single credentials. Formats hold whatever the source is."""

    nextauth_secret: Source | None = Field(
        default=None, description="Encrypts sessions, at least 32 characters. A new one signs everybody out."
    )
    salt: Source | None = Field(default=None, description="API keys are hashed with it. It never changes.")
    encryption_key: Source | None = Field(
        default=None, description="64 hexadecimal digits; stored LLM keys are encrypted with it. It never changes."
    )
    user_password: Source | None = Field(
        default=None, description="The first user's, at least 8 characters. Langfuse reads it when it makes the user."
    )
    public_key: Source | None = Field(
        default=None, description="The first project's: `pk-lf-` and a UUID. A new pair leaves the old one valid."
    )
    secret_key: Source | None = Field(
        default=None, description="`sk-lf-` and a UUID. Langfuse ignores another one for the same public key."
    )
    postgres_password: Source | None = Field(default=None, description="Letters and digits.")
    clickhouse_password: Source | None = Field(default=None, description="Letters and digits.")
    clickhouse_backup_password: Source | None = Field(default=None, description="Letters and digits.")
    clickhouse_interserver_password: Source | None = Field(default=None, description="Letters and digits.")
    redis_password: Source | None = Field(default=None, description="Letters and digits.")
    object_store_root_access_key_id: Source | None = Field(default=None, description="MinIO's administrator.")
    object_store_root_secret_access_key: Source | None = Field(default=None, description="MinIO's administrator.")
    object_store_encryption_key: Source | None = Field(
        default=None,
        description="A name, `:` and 32 bytes in base64, as in `langfuse:$(openssl rand -base64 32)`. MinIO encrypts "
        "every object with it, backups among them: without it all are lost. It never changes.",
    )
    object_store_events_access_key_id: Source | None = Field(default=None, description="For raw events.")
    object_store_events_secret_access_key: Source | None = Field(default=None, description="For raw events.")
    object_store_media_access_key_id: Source | None = Field(default=None, description="For media.")
    object_store_media_secret_access_key: Source | None = Field(default=None, description="For media.")
    object_store_exports_access_key_id: Source | None = Field(default=None, description="For batch exports.")
    object_store_exports_secret_access_key: Source | None = Field(default=None, description="For batch exports.")
    object_store_backups_access_key_id: Source | None = Field(default=None, description="For backups.")
    object_store_backups_secret_access_key: Source | None = Field(default=None, description="For backups.")
    admin_api_key: Source | None = Field(
        default=None, description="Opens the instance's admin API, at least 32 characters; closed if not given."
    )


class Credentials(Model):
    """Where credentials come from. In a store or Secret a name is the key below in capitals, as `POSTGRES_PASSWORD`."""

    source: Literal["generated", "existing", "external-secrets"] = Field(
        default="generated",
        description="Of what `values` doesn't name. Before a running installation changes it, bring its values there.",
    )
    secret: SecretName | None = Field(default=None, description="With source `existing`: the Secret that has them all.")
    secret_store: SecretStore | None = Field(default=None, description="With source `external-secrets`: the store.")
    values: CredentialSources = CredentialSources()
