"""The environment variables of web for sign-in.

The names are those of web/src/env.mjs. The id of a provider in its callback URL is its name in web/src/server/auth.ts.
"""

from collections.abc import Mapping

from components.kubernetes.variables import Environment, SecretRef, text
from components.schema.environment import PROJECT, Settings
from components.schema.sign_in import Provider
from components.stores.connections import Endpoint

PROXY_CALLBACK = "/oauth2/callback"
"""Where oauth2-proxy receives the answer of its provider (`--proxy-prefix`)."""


def sign_in_environment(settings: Settings, refs: Mapping[str, SecretRef]) -> Environment:
    """For web: who can sign in, and how.

    Args:
        settings: The settings of the environment.
        refs: Where pods read a credential, by its id.
    """
    chosen = settings.sign_in
    variables: dict[str, str | SecretRef] = {
        "AUTH_DISABLE_SIGNUP": text(not chosen.sign_up),
        "AUTH_DISABLE_USERNAME_PASSWORD": text(not chosen.password),
        "AUTH_EMAIL_VERIFICATION_REQUIRED": text(chosen.email_verification),
        "AUTH_SESSION_MAX_AGE": text(chosen.session_minutes),
        # Otherwise environments under one parent domain would read each other's cookies, which they cannot decrypt.
        "NEXTAUTH_COOKIE_NAME_SUFFIX": settings.instance.removeprefix(f"{PROJECT}-"),
    }
    if chosen.sso_domains:
        variables["AUTH_DOMAINS_WITH_SSO_ENFORCEMENT"] = text(chosen.sso_domains)
    if chosen.organization_creators:
        variables["LANGFUSE_ALLOWED_ORGANIZATION_CREATORS"] = text(chosen.organization_creators)
    if chosen.default_organization_role:
        variables["LANGFUSE_DEFAULT_ORG_ID"] = settings.organization_id
        variables["LANGFUSE_DEFAULT_ORG_ROLE"] = chosen.default_organization_role
    if chosen.default_project_role:
        variables["LANGFUSE_DEFAULT_PROJECT_ID"] = settings.project_id
        variables["LANGFUSE_DEFAULT_PROJECT_ROLE"] = chosen.default_project_role
    for name, provider in chosen.providers.configured().items():
        variables |= _provider(name, provider, refs[f"{name}_client_secret"])
    return variables


def sign_in_endpoints(settings: Settings) -> list[Endpoint]:
    """The servers of the configured providers that web calls. Of others it knows the address itself."""
    configured = settings.sign_in.providers.configured().values()
    urls = [getattr(provider, field, None) for provider in configured for field in ("issuer", "base_url", "url")]
    return list(dict.fromkeys(Endpoint.of_url(url) for url in urls if url))


def callback_urls(settings: Settings) -> dict[str, str]:
    """The URL to register with each provider, by its id; `ingress` for the sign-in in front of the UI."""
    front = {"ingress": f"{settings.public_url}{PROXY_CALLBACK}"} if settings.ingress.sign_in_proxy else {}
    providers = {
        name.replace("_", "-"): f"{settings.public_url}/api/auth/callback/{name.replace('_', '-')}"
        for name in settings.sign_in.providers.configured()
    }
    return {**front, **providers}


def _provider(name: str, provider: Provider, secret: SecretRef) -> dict[str, str | SecretRef]:
    prefix = f"AUTH_{name.upper()}"
    variables: dict[str, str | SecretRef] = {f"{prefix}_CLIENT_SECRET": secret}
    for field in type(provider).model_fields:
        value: str | bool | list[str] | None = getattr(provider, field)
        if field != "client_secret" and value is not None:
            variables[f"{prefix}_{field.upper()}"] = text(value)
    return variables
