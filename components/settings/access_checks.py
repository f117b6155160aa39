"""Rules that join keys of credentials and sign-in. Each yields `key: value rule; fix` for everything it finds wrong."""

import json
from collections.abc import Callable, Iterator, Sequence

from pydantic.alias_generators import to_camel

from components.application import extra_env
from components.credentials.registry import CREDENTIALS
from components.credentials.sources import is_needed, sourced
from components.kubernetes.patch_fields import field_problems
from components.schema.credentials import External, Generated
from components.schema.environment import Settings


def sources_are_complete(settings: Settings) -> Iterator[str]:
    """A source of all credentials, or a single one of a store, needs to know where."""
    credentials = settings.credentials
    if credentials.source == "existing" and credentials.secret is None:
        yield "credentials.secret: is required with source existing; name the Secret that has the credentials"
    used = any(isinstance(one.source, External) for one in sourced(settings))
    if credentials.secret_store is None and (credentials.source == "external-secrets" or used):
        yield "credentials.secretStore: is required with source external-secrets; name the store"


def named_credentials_are_used(settings: Settings) -> Iterator[str]:
    """A credential that nothing reads is a misunderstanding."""
    for credential in CREDENTIALS.values():
        if getattr(settings.credentials.values, credential.id) is not None and not is_needed(credential.id, settings):
            yield f"{credential.path}: nothing reads it in the mode that the store has; remove it"


def epochs_are_possible(settings: Settings) -> Iterator[str]:
    """Where nothing applies a new value, it would lock the installation out, or destroy what is encrypted."""
    epochs: dict[str, int] = {}
    for one in sourced(settings):
        if isinstance(one.source, Generated):
            epochs[one.credential.id] = one.source.epoch
            if one.source.epoch > 1 and one.credential.frozen:
                yield f"{one.credential.path}.epoch: {one.source.epoch} can't be: {one.credential.frozen}; remove it"
    public, secret = epochs.get("public_key", 1), epochs.get("secret_key", 1)
    if public != secret:
        yield (
            f"credentials.values.secretKey.epoch: {secret} is not that of publicKey ({public}), and Langfuse knows "
            "the keys only as a pair; give both the same"
        )


def issued_credentials_are_given(settings: Settings) -> Iterator[str]:
    """What a server or provider outside has given out can't be generated."""
    outside = {
        "postgres_": settings.postgres.mode == "external" and "postgres.mode external",
        "clickhouse_": settings.clickhouse.mode == "external" and "clickhouse.mode external",
        "redis_": settings.redis.mode == "external" and "redis.mode external",
        "object_store_": settings.object_store.mode == "external" and "objectStore.mode external",
    }
    places = {"license_key": "license.key", "smtp_url": "mail.smtpUrl"}
    for one in sourced(settings):
        credential = one.credential
        explicit = getattr(settings.credentials.values, credential.id, None) is not None
        if not isinstance(one.source, Generated) or not (explicit or settings.credentials.source == "generated"):
            continue
        mode = next((why for prefix, why in outside.items() if why and credential.id.startswith(prefix)), None)
        if mode:
            yield (
                f"{credential.path}: generated is no password that the server knows ({mode}); "
                "set source to existing or external-secrets"
            )
        if credential.kind == "issued":
            provider = credential.id.removesuffix("_client_secret")
            where = places.get(credential.id) or f"signIn.providers.{to_camel(provider)}.clientSecret"
            yield f"{where}: is required with credentials.source generated; name a Secret and its key"


def somebody_can_sign_in(settings: Settings) -> Iterator[str]:
    """Combinations that keep everybody out, or let anybody in."""
    sign_in = settings.sign_in
    providers = sign_in.providers.configured()
    if not sign_in.password and not providers:
        yield "signIn.password: false leaves no way to sign in; add signIn.providers, or set it to true"
    if not sign_in.password and providers and not any(one.allow_account_linking for one in providers.values()):
        yield (
            f"signIn.password: false keeps the first user ({settings.first_start.owner_email}) out: it is made with a "
            "password, and no provider may join it; set allowAccountLinking on one that verifies e-mails"
        )
    if sign_in.sso_domains and not providers:
        yield f"signIn.ssoDomains: {json.dumps(sign_in.sso_domains)} could not sign in; add signIn.providers"
    if settings.profile == "prod" and settings.ingress.kind != "none" and sign_in.sign_up and sign_in.password:
        yield (
            "signIn.signUp: true lets whoever reaches prod register with an e-mail of their choice; set it to false, "
            "or set signIn.password to false"
        )
    if sign_in.email_verification and settings.mail is None:
        yield "signIn.emailVerification: true sends mail; add mail"
    workos = sign_in.providers.workos
    if workos and workos.organization_id and workos.connection_id:
        yield "signIn.providers.workos.connectionId: is ignored beside organizationId; remove one"


def licensed_features_have_a_licence(settings: Settings) -> Iterator[str]:
    """What Langfuse silently ignores without a licence (web/src/features/entitlements)."""
    if settings.license is not None:
        return
    sign_in = settings.sign_in
    for key, wanted in (
        ("firstStart.projectRetentionDays", settings.first_start.project_retention_days is not None),
        ("signIn.defaultProjectRole", sign_in.default_project_role is not None),
        ("signIn.organizationCreators", bool(sign_in.organization_creators)),
        ("credentials.values.adminApiKey", settings.credentials.values.admin_api_key is not None),
    ):
        if wanted:
            yield f"{key}: is ignored by Langfuse without an Enterprise licence; add license, or remove it"


def patches_are_allowed(settings: Settings) -> Iterator[str]:
    """A patch may not carry credentials into plain state, nor move an object away from its name."""
    for number, patch in enumerate(settings.patches):
        if patch.kind == "Secret" and {"data", "stringData"} & patch.patch.keys():
            yield f"patches.{number}.patch: would write a Secret's data; set its source in credentials"
        for key in {"kind", "apiVersion", "status"} & patch.patch.keys():
            yield f"patches.{number}.patch.{key}: can't be changed; remove it"
        metadata = patch.patch.get("metadata")
        for key in sorted({"name", "namespace"} & (metadata.keys() if isinstance(metadata, dict) else set())):
            yield f"patches.{number}.patch.metadata.{key}: would make another object; remove it"
        for problem in field_problems(patch.kind, patch.patch):
            yield f"patches.{number}.patch.{problem}"


ACCESS_RULES: Sequence[Callable[[Settings], Iterator[str]]] = (
    sources_are_complete,
    named_credentials_are_used,
    epochs_are_possible,
    issued_credentials_are_given,
    somebody_can_sign_in,
    licensed_features_have_a_licence,
    extra_env.problems,
    patches_are_allowed,
)
