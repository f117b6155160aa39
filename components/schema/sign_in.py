"""Who can sign in, and how (web/src/env.mjs and web/src/server/auth.ts of Langfuse)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.schema.base import Model
from components.schema.credentials import Reference
from components.schema.values import Email, Host, Port, Url

AuthMethod = Literal[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
Check = Literal["nonce", "none", "pkce", "state"]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "HS256", "HS384", "HS512"
]


def _authentik_issuer(text: str) -> str:
    parts = text.removesuffix("/").split("/")
    if not text.startswith("https://") or len(parts) < 6 or parts[-3:-1] != ["application", "o"]:  # noqa: PLR2004
        raise ValueError(
            'is not the issuer of an authentik application; write it like "https://DOMAIN/application/o/SLUG"'
        )
    return text


class Provider(Model):
    """The keys of every provider: a client (application) that is registered with it."""

    client_id: str = Field(min_length=1, description="Id of the client that is registered with the provider.")
    client_secret: Reference | None = Field(
        default=None,
        description="Secret of the client. Default: the entry `GOOGLE_CLIENT_SECRET` (for Google) of the "
        "credentials' source.",
    )
    allow_account_linking: bool = Field(
        default=False,
        description="Whether a sign-in is linked to an existing user with the same e-mail. Enable it only for "
        "providers that "
        "verify e-mails.",
    )


class OAuthProvider(Provider):
    """A provider of OAuth 2.0."""

    client_auth_method: AuthMethod | None = Field(default=None, description="How the client authenticates.")
    checks: list[Check] | None = Field(default=None, description="Checks that protect the authorization flow.")


class OpenIdProvider(OAuthProvider):
    """A provider that signs ID tokens."""

    id_token_signed_response_alg: Algorithm | None = Field(
        default=None, description="Algorithm with which ID tokens are signed."
    )


class IssuerProvider(OpenIdProvider):
    """A provider that is discovered by its issuer."""

    issuer: Url = Field(description="Issuer, as in the discovery document of the provider.")


class Google(OpenIdProvider):
    """Google."""

    allowed_domains: list[Host] | None = Field(
        default=None, description="Google Workspace domains that can sign in. Default: all domains."
    )


class GitHubEnterprise(OAuthProvider):
    """A GitHub Enterprise server."""

    base_url: Url = Field(description="URL of the server.")


class GitLab(OpenIdProvider):
    """GitLab.com or a self-managed GitLab."""

    issuer: Url | None = Field(default=None, description="Issuer, if the responses of the server contain one.")
    url: Url | None = Field(default=None, description="URL of a self-managed server.")


class AzureAd(OpenIdProvider):
    """Microsoft Entra ID."""

    tenant_id: str = Field(min_length=1, description="Directory (tenant) ID.")


class Authentik(OpenIdProvider):
    """authentik."""

    issuer: Annotated[Url, AfterValidator(_authentik_issuer)] = Field(
        description="`https://DOMAIN/application/o/SLUG`."
    )
    authorization_url: Url | None = Field(
        default=None, description="Authorization endpoint, if browsers reach it under another host than web does."
    )


class Keycloak(IssuerProvider):
    """Keycloak."""

    scope: str | None = Field(
        default=None, min_length=1, description="Scopes to request. Default: `openid email profile`."
    )
    id_token: bool | None = Field(
        default=None, description="Whether claims are read from the ID token. Default: `true`."
    )
    name: str | None = Field(default=None, min_length=1, description="Label of the sign-in button.")


class JumpCloud(IssuerProvider):
    """JumpCloud."""

    scope: str | None = Field(
        default=None, min_length=1, description="Scopes to request. Default: `openid profile email`."
    )


class Custom(IssuerProvider):
    """Any other OpenID Connect provider."""

    name: str = Field(min_length=1, description="Label of the sign-in button.")
    scope: str | None = Field(
        default=None, min_length=1, description="Scopes to request. Default: `openid email profile`."
    )
    id_token: bool | None = Field(
        default=None, description="Whether claims are read from the ID token. Default: `true`."
    )


class WorkOs(Provider):
    """WorkOS."""

    organization_id: str | None = Field(
        default=None, min_length=1, description="Organization that users sign in to. Set this or `connectionId`."
    )
    connection_id: str | None = Field(
        default=None,
        min_length=1,
        description="Connection that users sign in with. If neither is set, users are asked.",
    )


class Providers(Model):
    """Single sign-on. Register `<url>/api/auth/callback/<provider>` with each provider: see the stack's outputs."""

    google: Google | None = None
    github: OAuthProvider | None = None
    github_enterprise: GitHubEnterprise | None = None
    gitlab: GitLab | None = None
    azure_ad: AzureAd | None = None
    okta: IssuerProvider | None = None
    authentik: Authentik | None = None
    onelogin: IssuerProvider | None = None
    auth0: IssuerProvider | None = None
    cognito: IssuerProvider | None = None
    keycloak: Keycloak | None = None
    jumpcloud: JumpCloud | None = None
    custom: Custom | None = None
    workos: WorkOs | None = None
    wordpress: OpenIdProvider | None = None

    def configured(self) -> dict[str, Provider]:
        """The configured providers, by field name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: provider for name, provider in found.items() if provider is not None}


OrganizationRole = Literal["OWNER", "ADMIN", "MEMBER", "VIEWER", "NONE"]
ProjectRole = Literal["OWNER", "ADMIN", "MEMBER", "VIEWER"]


class SignIn(Model):
    """Who can sign in, and how."""

    sign_up: bool = Field(
        description="Whether anybody who can reach web can register. `false` also applies to single sign-on."
    )
    password: bool = Field(default=True, description="Whether users can sign in with e-mail and password.")
    session_minutes: int = Field(
        default=10080,
        gt=5,
        le=43200,
        description="Minutes until an unused session expires. The default of Langfuse is 43200.",
    )
    email_verification: bool = Field(
        default=False, description="Whether e-mails are verified at sign-up. Requires `mail`."
    )
    sso_domains: list[Host] = Field(default=[], description="E-mail domains whose users must use single sign-on.")
    default_organization_role: OrganizationRole | None = Field(
        default=None,
        description="Role of new users in the first organization. Default: new users join no organization.",
    )
    default_project_role: ProjectRole | None = Field(
        default=None, description="Role of new users in the first project. Requires `license`."
    )
    organization_creators: list[Email] = Field(
        default=[], description="Users who can create organizations. Default: all users. Requires `license`."
    )
    providers: Providers = Providers()


class Mail(Model):
    """How web and worker send mail: invitations, password resets, alerts."""

    sender: Email = Field(description="Sender address.")
    smtp_url: Reference | None = Field(
        default=None,
        description="`smtps://USER:PASSWORD@HOST:465` or `ses://REGION`. Default: the entry `SMTP_URL` of the "
        "credentials' source.",
    )
    port: Port | None = Field(
        default=None,
        examples=[465],
        description="Port in the URL, which network policies allow: 443 for `ses://`. Default: 25, 465, 587 and 2525 "
        "are allowed.",
    )


class License(Model):
    """The key of an Enterprise license: enables data retention, audit logs, project roles and the admin API."""

    key: Reference | None = Field(
        default=None, description="The license key. Default: the entry `LICENSE_KEY` of the credentials' source."
    )
