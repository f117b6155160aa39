"""Who may sign in and how (web/src/env.mjs and web/src/server/auth.ts of Langfuse)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.schema.base import Model
from components.schema.credentials import Reference
from components.schema.values import Email, Host, Url

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
        raise ValueError('is not an issuer of authentik; write it like "https://DOMAIN/application/o/SLUG"')
    return text


class Provider(Model):
    """A provider as every one of them is set up: an application registered there."""

    client_id: str = Field(min_length=1, description="Client that is registered with the provider.")
    client_secret: Reference | None = Field(
        default=None, description="Its secret; under its conventional name (`GOOGLE_CLIENT_SECRET`) if not given."
    )
    allow_account_linking: bool = Field(
        default=False,
        description="Whether a sign-in joins the user of the same e-mail: only for providers that verify e-mails.",
    )


class OAuthProvider(Provider):
    """A provider whose exchange can be told in detail."""

    client_auth_method: AuthMethod | None = Field(default=None, description="How the client proves itself.")
    checks: list[Check] | None = Field(default=None, description="What protects the exchange.")


class OpenIdProvider(OAuthProvider):
    """A provider that signs ID tokens."""

    id_token_signed_response_alg: Algorithm | None = Field(default=None, description="How ID tokens are signed.")


class IssuerProvider(OpenIdProvider):
    """A provider that is found by its issuer."""

    issuer: Url = Field(description="Issuer, as its discovery document names it.")


class Google(OpenIdProvider):
    """Google."""

    allowed_domains: list[Host] | None = Field(default=None, description="Workspace domains; any if not given.")


class GitHubEnterprise(OAuthProvider):
    """A GitHub Enterprise server."""

    base_url: Url = Field(description="URL of the server.")


class GitLab(OpenIdProvider):
    """GitLab, theirs or one's own."""

    issuer: Url | None = Field(default=None, description="Issuer, for answers that name it.")
    url: Url | None = Field(default=None, description="URL of one's own server.")


class AzureAd(OpenIdProvider):
    """Microsoft Entra ID."""

    tenant_id: str = Field(min_length=1, description="Directory (tenant) ID.")


class Authentik(OpenIdProvider):
    """authentik."""

    issuer: Annotated[Url, AfterValidator(_authentik_issuer)] = Field(
        description="`https://DOMAIN/application/o/SLUG`."
    )
    authorization_url: Url | None = Field(
        default=None, description="Authorization endpoint, where browsers reach it under another host than web."
    )


class Keycloak(IssuerProvider):
    """Keycloak."""

    scope: str | None = Field(default=None, min_length=1, description="Scopes instead of `openid email profile`.")
    id_token: bool | None = Field(default=None, description="Whether claims are taken from the ID token; yes if unset.")
    name: str | None = Field(default=None, min_length=1, description="Text on the button.")


class JumpCloud(IssuerProvider):
    """JumpCloud."""

    scope: str | None = Field(default=None, min_length=1, description="Scopes instead of `openid profile email`.")


class Custom(IssuerProvider):
    """Any other provider of OpenID Connect."""

    name: str = Field(min_length=1, description="Text on the button.")
    scope: str | None = Field(default=None, min_length=1, description="Scopes instead of `openid email profile`.")
    id_token: bool | None = Field(default=None, description="Whether claims are taken from the ID token; yes if unset.")


class WorkOs(Provider):
    """WorkOS."""

    organization_id: str | None = Field(default=None, min_length=1, description="Organization to sign in to, or")
    connection_id: str | None = Field(
        default=None, min_length=1, description="the connection; users are asked if unset."
    )


class Providers(Model):
    """Single sign-on, by provider. Register `<url>/api/auth/callback/<provider>` there: see the stack's outputs."""

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
        """The providers that are given, by field name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: provider for name, provider in found.items() if provider is not None}


OrganizationRole = Literal["OWNER", "ADMIN", "MEMBER", "VIEWER", "NONE"]
ProjectRole = Literal["OWNER", "ADMIN", "MEMBER", "VIEWER"]


class SignIn(Model):
    """Who may sign in and how."""

    sign_up: bool = Field(description="Whether whoever reaches web may register. Off, also with single sign-on.")
    password: bool = Field(default=True, description="Whether e-mail and password are accepted.")
    session_minutes: int = Field(
        default=10080, gt=5, le=43200, description="How long a session lasts without use; Langfuse's own is 43200."
    )
    email_verification: bool = Field(
        default=False, description="Whether e-mails are verified at sign-up; needs `mail`."
    )
    sso_domains: list[Host] = Field(default=[], description="E-mail domains that may only use single sign-on.")
    default_organization_role: OrganizationRole | None = Field(
        default=None, description="Role that new users get in the first organization; they join none if not given."
    )
    default_project_role: ProjectRole | None = Field(
        default=None, description="Role that new users get in the first project; needs `license`."
    )
    organization_creators: list[Email] = Field(
        default=[], description="Who may make organizations; everybody if empty. Needs `license`."
    )
    providers: Providers = Providers()


class Mail(Model):
    """How web and worker send mail: invitations, password resets, alerts."""

    sender: Email = Field(description="Address that mail is sent from.")
    smtp_url: Reference | None = Field(
        default=None,
        description="`smtps://USER:PASSWORD@HOST:465`, or `ses://REGION`; under the name `SMTP_URL` if not given.",
    )


class License(Model):
    """The key of an Enterprise licence: opens retention, audit logs, project roles and the admin API."""

    key: Reference | None = Field(default=None, description="The key; under the name `LICENSE_KEY` if not given.")
