"""Checks of credentials and their sources."""

from collections.abc import Iterator, Mapping

from pydantic.alias_generators import to_camel

from components.credentials.registry import CREDENTIALS
from components.credentials.sources import client_key
from components.schema.credentials import External, Generated
from components.schema.environment import Settings
from components.stores.modes import StoreModes, installation_credentials

KEYS: Mapping[str, str] = {
    "license_key": "license.key",
    "smtp_url": "mail.smtpUrl",
    "sign_in_proxy_client_secret": "ingress.authentication.clientSecret",
}
"""Configuration keys of credentials that are not under `credentials.values`, nor those of a sign-in provider."""


def sources_are_complete(settings: Settings) -> Iterator[str]:
    """The sources `existing` and `external-secrets` require a Secret or a store to read from."""
    credentials = settings.credentials
    if credentials.source == "existing" and credentials.secret is None:
        yield "credentials.secret: is required with source existing; set it to the Secret that has the credentials"
    used = any(isinstance(one.source, External) for one in installation_credentials(settings))
    if credentials.secret_store is None and (credentials.source == "external-secrets" or used):
        yield "credentials.secretStore: is required with source external-secrets; set its name"


def configured_credentials_are_used(settings: Settings) -> Iterator[str]:
    """A source for a credential that nothing reads is probably a mistake."""
    needed = {one.credential.id for one in installation_credentials(settings)}
    for credential in CREDENTIALS.values():
        if getattr(settings.credentials.values, credential.id) is not None and credential.id not in needed:
            yield f"{credential.path}: is not read by anything in the mode of this store; remove it"


def epochs_are_possible(settings: Settings) -> Iterator[str]:
    """A new value that nothing applies would lock the installation out, or make encrypted data unreadable."""
    epochs: dict[str, int] = {}
    for one in installation_credentials(settings):
        if isinstance(one.source, Generated):
            epochs[one.credential.id] = one.source.epoch
            if one.source.epoch > 1 and (reason := one.credential.not_rotatable):
                yield f"{one.credential.path}.epoch: {one.source.epoch} is not possible: {reason}; remove it"
    paths = {one.credential.id: one.credential.path for one in installation_credentials(settings)}
    pairs = [("public_key", "secret_key")]
    pairs += [(client_key(name, "public_key"), client_key(name, "secret_key")) for name in settings.clients]
    for public_id, secret_id in pairs:
        public, secret = epochs.get(public_id, 1), epochs.get(secret_id, 1)
        if public != secret:
            yield (
                f"{paths[secret_id]}.epoch: {secret} differs from the epoch of publicKey ({public}), and Langfuse "
                "accepts the keys only as a pair; set both to the same epoch"
            )


def external_credentials_have_a_source(settings: Settings) -> Iterator[str]:
    """The stack cannot generate a credential that an external server or a provider issues."""
    for one in installation_credentials(settings):
        id_ = one.credential.id
        explicit = getattr(settings.credentials.values, id_, None) is not None
        if not isinstance(one.source, Generated) or not (explicit or settings.credentials.source == "generated"):
            continue
        if mode := _external_mode(id_, settings):
            yield (
                f"{one.credential.path}: is generated, and the external server ({mode}) does not know a "
                "generated password; set source to existing or external-secrets"
            )
        if one.credential.kind == "third-party":
            provider = id_.removesuffix("_client_secret")
            key = KEYS.get(id_) or f"signIn.providers.{to_camel(provider)}.clientSecret"
            yield f"{key}: is required with credentials.source generated; set a Secret and its key"


def _external_mode(id_: str, settings: Settings) -> str | None:
    """The key and value that make the store of a credential an external one; None if it is managed."""
    for mode in StoreModes.of(settings):
        name = mode.name.replace("-", "_")
        if id_.startswith(f"{name}_") and not mode.is_managed:
            return f"{to_camel(name)}.mode {getattr(settings, name).mode}"
    return None
