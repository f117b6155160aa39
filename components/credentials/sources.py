"""Which credentials an environment needs, and where the value of each comes from."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic.alias_generators import to_camel

from components.credentials import formats
from components.credentials.formats import Format
from components.credentials.registry import CREDENTIALS, Credential
from components.schema.credentials import Existing, External, Generated, Source
from components.schema.environment import Settings

APPLICATION_CREDENTIALS = {
    *("nextauth_secret", "salt", "encryption_key"),
    *("user_password", "public_key", "secret_key"),
}
"""Credentials that every installation needs, whatever its stores are."""


@dataclass(frozen=True, kw_only=True)
class NeededCredential:
    """A credential that an installation needs, and its source."""

    credential: Credential
    source: Generated | Existing | External


def needed_credentials(settings: Settings, of_stores: Collection[str]) -> list[NeededCredential]:
    """The credentials that an installation needs, with their sources.

    Args:
        settings: The settings of the installation.
        of_stores: The ids of the credentials that its stores need.
    """
    needed = [credential for credential in CREDENTIALS.values() if _is_needed(credential.id, settings, of_stores)]
    configured = [NeededCredential(credential=one, source=_source(one, settings)) for one in needed]
    return [*configured, *_third_party(settings), *_clients(settings)]


def has_admin_api_key(settings: Settings) -> bool:
    """Whether Langfuse has a key for its admin API, by which raw events are queued again.

    Without a configured source it is generated. It is not expected in the Secret or store of the other credentials,
    where installations without a license have none.
    """
    return settings.credentials.values.admin_api_key is not None or settings.credentials.source == "generated"


def _is_needed(id_: str, settings: Settings, of_stores: Collection[str]) -> bool:
    """Whether anything in the installation reads a credential."""
    if id_ == "admin_api_key":
        return has_admin_api_key(settings)
    if id_ == "sign_in_proxy_cookie_secret":
        return settings.ingress.sign_in_proxy is not None
    return id_ in APPLICATION_CREDENTIALS or id_ in of_stores


def _source(credential: Credential, settings: Settings) -> Generated | Existing | External:
    configured: Generated | Existing | External | None = getattr(settings.credentials.values, credential.id)
    if configured is not None:
        return configured
    if credential.kind == "fixed" and settings.object_store.mode == "managed":
        return Generated(source="generated")  # the stack chooses the name
    return _conventional(credential.conventional_name, settings)


def _conventional(name: str, settings: Settings) -> Generated | Existing | External:
    """The source of a credential that is not configured individually."""
    credentials = settings.credentials
    if credentials.source == "existing" and credentials.secret:
        return Existing(source="existing", secret=credentials.secret, key=name)
    if credentials.source == "external-secrets" and credentials.secret_store:
        path = credentials.secret_store.path
        return External(source="external-secrets", remote_key=path or name, property=name if path else None)
    return Generated(source="generated")


def client_key(name: str, part: Literal["public_key", "secret_key"]) -> str:
    """The id of a key of a client."""
    return f"client_{name.replace('-', '_')}_{part}"


def _clients(settings: Settings) -> Iterator[NeededCredential]:
    """The key pairs of clients. Their sources are configured with each client."""
    for name, client in settings.clients.items():
        restarts = f"the Job langfuse-clients, which adds a key pair, and then the pods of {name}, by hand"
        parts: tuple[tuple[Literal["public_key", "secret_key"], Format, Source | None], ...] = (
            ("public_key", formats.PUBLIC_KEY, client.public_key),
            ("secret_key", formats.SECRET_KEY, client.secret_key),
        )
        for part, format_, configured in parts:
            credential = Credential(
                id=client_key(name, part),
                secret=f"langfuse-client-{name}",
                key=part.replace("_", "-"),
                kind="api-key",
                format=format_,
                restarts=(restarts,),
                overlaps=True,
                configured_at=f"clients.{name}.{to_camel(part)}",
                # Langfuse moves a key pair to another project in Postgres only: Redis keeps the project of a key that
                # is in use (web/src/initialize.ts and apiAuth.ts).
                keepers={"project": client.project.id if client.project else settings.project_id},
                removable=True,
            )
            source = configured or _conventional(credential.conventional_name, settings)
            yield NeededCredential(credential=credential, source=source)


def _third_party(settings: Settings) -> Iterator[NeededCredential]:
    """Credentials that third parties issue. Their sources are configured in the section that uses them."""

    def one(id_: str, secret: str, format_: Format, configured: Existing | External | None) -> NeededCredential:
        credential = Credential(id=id_, secret=secret, key=id_.replace("_", "-"), kind="third-party", format=format_)
        return NeededCredential(
            credential=credential, source=configured or _conventional(credential.conventional_name, settings)
        )

    if settings.license:
        yield one("license_key", "langfuse-license", formats.LICENSE_KEY, settings.license.key)
    if proxy := settings.ingress.sign_in_proxy:
        id_ = "sign_in_proxy_client_secret"
        yield one(id_, "langfuse-oauth2-proxy-client", formats.CLIENT_SECRET, proxy.client_secret)
    if settings.mail:
        yield one("smtp_url", "langfuse-mail", formats.SMTP_URL, settings.mail.smtp_url)
    for name, provider in settings.sign_in.providers.configured().items():
        yield one(f"{name}_client_secret", "langfuse-sign-in", formats.CLIENT_SECRET, provider.client_secret)
