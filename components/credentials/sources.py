"""Which credentials an environment needs, and where each comes from. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.credentials import formats
from components.credentials.formats import Format
from components.credentials.registry import CREDENTIALS, Credential
from components.schema.credentials import Existing, External, Generated
from components.schema.environment import Settings


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """A credential that an installation needs, and where it comes from."""

    credential: Credential
    source: Generated | Existing | External


def sourced(settings: Settings) -> list[Sourced]:
    """The credentials that an environment needs, with their sources. None is made that nothing reads."""
    needed = [credential for credential in CREDENTIALS.values() if is_needed(credential.id, settings)]
    chosen = [Sourced(credential=one, source=_source(one, settings)) for one in needed]
    return [*chosen, *_issued(settings)]


def is_needed(id_: str, settings: Settings) -> bool:
    """Whether anything reads a credential in an environment."""
    if id_ in {"clickhouse_backup_password", "clickhouse_interserver_password"}:
        return settings.clickhouse.mode == "managed"
    if id_.startswith(("object_store_root", "object_store_encryption")):
        return settings.object_store.mode == "managed"
    if id_.startswith("object_store"):
        return settings.object_store.mode == "managed" or settings.object_store.identity == "keys"
    if id_ == "admin_api_key":
        return settings.credentials.values.admin_api_key is not None
    return True


def _source(credential: Credential, settings: Settings) -> Generated | Existing | External:
    given: Generated | Existing | External | None = getattr(settings.credentials.values, credential.id)
    if given is not None:
        return given
    if credential.kind == "fixed" and settings.object_store.mode == "managed":
        return Generated(source="generated")  # a name that the stack gives: nobody has to write it down
    return conventional(credential.conventional_name, settings)


def conventional(name: str, settings: Settings) -> Generated | Existing | External:
    """The source of a credential for which none is given."""
    credentials = settings.credentials
    if credentials.source == "existing" and credentials.secret:
        return Existing(source="existing", secret=credentials.secret, key=name)
    if credentials.source == "external-secrets" and credentials.secret_store:
        path = credentials.secret_store.path
        return External(source="external-secrets", remote_key=path or name, property=name if path else None)
    return Generated(source="generated")


def _issued(settings: Settings) -> Iterator[Sourced]:
    """Credentials that others give out: they stand beside what they are for, not in `credentials.values`."""

    def one(id_: str, secret: str, format_: Format, given: Existing | External | None) -> Sourced:
        credential = Credential(id=id_, secret=secret, key=id_.replace("_", "-"), kind="issued", format=format_)
        return Sourced(credential=credential, source=given or conventional(credential.conventional_name, settings))

    if settings.license:
        yield one("license_key", "langfuse-license", formats.LICENSE_KEY, settings.license.key)
    if settings.mail:
        yield one("smtp_url", "langfuse-mail", formats.SMTP_URL, settings.mail.smtp_url)
    for name, provider in settings.sign_in.providers.configured().items():
        yield one(f"{name}_client_secret", "langfuse-sign-in", formats.CLIENT_SECRET, provider.client_secret)
