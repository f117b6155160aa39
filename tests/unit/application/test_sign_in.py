import re

import pytest

from components.application.extra_env import names
from components.application.sign_in import callback_urls, sign_in_environment
from components.kubernetes.variables import SecretRef
from components.schema.environment import Settings
from components.schema.sign_in import Providers
from components.stores.modes import installation_credentials
from tests.unit.configuration import refusal, settings
from tests.unit.variables import VERSIONS

SECRET = {"source": "existing", "secret": "sso", "key": "secret"}
PROVIDERS: dict[str, dict[str, object]] = {
    "google": {"allowedDomains": ["example.com", "example.org"]},
    "github": {"checks": ["pkce", "state"]},
    "githubEnterprise": {"baseUrl": "https://github.example.com"},
    "gitlab": {"url": "https://gitlab.example.com", "issuer": "https://gitlab.example.com"},
    "azureAd": {"tenantId": "0000-1111"},
    "okta": {"issuer": "https://example.okta.com"},
    "authentik": {"issuer": "https://sso.example.com/application/o/langfuse/"},
    "onelogin": {"issuer": "https://example.onelogin.com/oidc/2"},
    "auth0": {"issuer": "https://example.eu.auth0.com", "idTokenSignedResponseAlg": "RS256"},
    "cognito": {"issuer": "https://cognito-idp.eu-west-1.amazonaws.com/pool"},
    "keycloak": {"issuer": "https://sso.example.com/realms/x", "idToken": False, "name": "Company", "scope": "openid"},
    "jumpcloud": {"issuer": "https://oauth.id.jumpcloud.com", "scope": "openid email"},
    "custom": {"issuer": "https://sso.example.com", "name": "Company", "clientAuthMethod": "client_secret_post"},
    "workos": {"organizationId": "org_1"},
    "wordpress": {"allowAccountLinking": True},
}
PROVIDER_IDS = {
    *("google", "github", "github-enterprise", "gitlab", "azure-ad", "okta", "authentik", "onelogin", "auth0"),
    *("cognito", "keycloak", "jumpcloud", "custom", "workos", "wordpress"),
}
"""From web/src/server/auth.ts and the providers of next-auth."""


def provider(name: str) -> dict[str, object]:
    return {"clientId": f"id-of-{name}", "clientSecret": SECRET, **PROVIDERS[name]}


def variables(found: Settings) -> dict[str, object]:
    refs = {one.credential.id: SecretRef(name="s", key=one.credential.id) for one in installation_credentials(found)}
    return dict(sign_in_environment(found, refs))


def test_every_provider_of_the_application_can_be_configured() -> None:
    read = names("4.82.0", "web")
    theirs = {match[1] for name in read if (match := re.fullmatch("AUTH_(.+)_CLIENT_ID", name))}
    assert {name.upper() for name in Providers.model_fields} == theirs - {"CLICKHOUSE_CLOUD"}  # only for Langfuse Cloud


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PROVIDERS)
def test_web_reads_every_variable_of_a_provider(name: str, version: str) -> None:
    found = variables(settings(version=version, signIn={"providers": {name: provider(name)}}))
    own = {variable for variable in found if variable.endswith("_CLIENT_ID")}
    assert len(own) == 1
    assert found.keys() <= names(version, "web")


def test_web_reads_every_key_of_every_provider() -> None:
    read = names("4.82.0", "web")
    for name, field in Providers.model_fields.items():
        (model,) = (part for part in field.annotation.__args__ if part is not type(None))  # type: ignore[union-attr]  # of an optional
        for key in model.model_fields:
            assert f"AUTH_{name.upper()}_{key.upper()}" in read


def test_the_secret_of_a_provider_is_a_reference() -> None:
    found = variables(settings(signIn={"providers": {"keycloak": provider("keycloak"), "google": provider("google")}}))
    assert found["AUTH_KEYCLOAK_CLIENT_ID"] == "id-of-keycloak"
    assert found["AUTH_KEYCLOAK_CLIENT_SECRET"] == SecretRef(name="s", key="keycloak_client_secret")
    assert found["AUTH_KEYCLOAK_ISSUER"] == "https://sso.example.com/realms/x"
    assert found["AUTH_KEYCLOAK_ID_TOKEN"] == "false"  # noqa: S105  # a flag
    assert found["AUTH_GOOGLE_ALLOWED_DOMAINS"] == "example.com,example.org"
    assert found["AUTH_GOOGLE_ALLOW_ACCOUNT_LINKING"] == "false"
    assert not [name for name in found if name.startswith("AUTH_OKTA")]


def test_callback_urls_contain_the_provider_ids_of_next_auth() -> None:
    found = callback_urls(settings(signIn={"providers": {name: provider(name) for name in PROVIDERS}}))
    assert found.keys() == PROVIDER_IDS
    for id_, url in found.items():
        assert url == f"https://langfuse.example.com/api/auth/callback/{id_}"


def test_sign_up_is_disabled_by_default() -> None:
    closed = {
        stack: variables(settings(stack=stack))["AUTH_DISABLE_SIGNUP"]
        for stack in ("dev", "preview", "staging", "prod")
    }
    assert set(closed.values()) == {"true"}
    assert variables(settings(signIn={"signUp": True}))["AUTH_DISABLE_SIGNUP"] == "false"


def test_each_environment_has_its_own_session_cookie() -> None:
    suffixes = {
        str(variables(settings(stack=stack))["NEXTAUTH_COOKIE_NAME_SUFFIX"]) for stack in ("dev", "staging", "prod")
    }
    assert suffixes == {"dev", "staging", "prod"}
    dotted = variables(settings(stack="pr.7", profile="preview", instance="langfuse-pr-7"))
    assert dotted["NEXTAUTH_COOKIE_NAME_SUFFIX"] == "pr-7"


def test_sessions_end_after_a_week_by_default() -> None:
    assert variables(settings())["AUTH_SESSION_MAX_AGE"] == str(7 * 24 * 60)
    assert variables(settings(signIn={"sessionMinutes": 60}))["AUTH_SESSION_MAX_AGE"] == "60"


def test_new_users_join_the_first_organization_if_a_role_is_configured() -> None:
    assert "LANGFUSE_DEFAULT_ORG_ID" not in variables(settings())
    found = variables(settings(signIn={"defaultOrganizationRole": "VIEWER"}))
    assert (found["LANGFUSE_DEFAULT_ORG_ID"], found["LANGFUSE_DEFAULT_ORG_ROLE"]) == ("langfuse-dev", "VIEWER")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"signIn": {"password": False}}, "langfuse:signIn.password: false leaves no way to sign in"),
        (
            {"signIn": {"password": False, "providers": {"okta": provider("okta")}}},
            "langfuse:signIn.password: false locks out the first user (owner@example.com)",
        ),
        ({"signIn": {"ssoDomains": ["example.com"]}}, 'langfuse:signIn.ssoDomains: ["example.com"] cannot sign in'),
        ({"signIn": {"emailVerification": True}}, "langfuse:signIn.emailVerification: true requires mail; add mail"),
        ({"signIn": {"sessionMinutes": 5}}, "langfuse:signIn.sessionMinutes: 5"),
        ({"signIn": {"defaultProjectRole": "VIEWER"}}, "langfuse:signIn.defaultProjectRole: is ignored by Langfuse"),
        ({"signIn": {"organizationCreators": ["a@example.com"]}}, "without an Enterprise license"),
        ({"firstStart": {"projectRetentionDays": 30}}, "langfuse:firstStart.projectRetentionDays: is ignored"),
        ({"firstStart": {"projectRetentionDays": 2}}, "langfuse:firstStart.projectRetentionDays: 2 must be at least 3"),
        (
            {"signIn": {"providers": {"workos": {**provider("workos"), "connectionId": "c"}}}},
            "langfuse:signIn.providers.workos.connectionId: is ignored if organizationId is set",
        ),
        (
            {"signIn": {"providers": {"google": {"clientId": "x"}}}},
            "langfuse:signIn.providers.google.clientSecret: is required with credentials.source generated",
        ),
        (
            {"signIn": {"providers": {"google": {"clientId": "x", "clientSecret": "plain"}}}},
            "langfuse:signIn.providers.google.clientSecret: ",
        ),
        (
            {"signIn": {"providers": {"authentik": {**provider("authentik"), "issuer": "https://sso.example.com"}}}},
            "is not the issuer of an authentik application",
        ),
        (
            {"signIn": {"providers": {"okta": {**provider("okta"), "issuer": "example.okta.com"}}}},
            'langfuse:signIn.providers.okta.issuer: "example.okta.com" is not a URL',
        ),
        (
            {"signIn": {"providers": {"gogle": provider("google")}}},
            'langfuse:signIn.providers.gogle: is not a known key; did you mean "google"?',
        ),
        ({"mail": {"sender": "a@example.com"}}, "langfuse:mail.smtpUrl: is required with credentials.source generated"),
        ({"license": {}}, "langfuse:license.key: is required with credentials.source generated"),
        (
            {"allowedTargets": {"llm": {"ranges": ["0.0.0.0/0"]}}},
            'langfuse:allowedTargets.llm.ranges.0: "0.0.0.0/0" allows 4294967296 addresses',
        ),
        ({"allowedTargets": {"llm": {"ranges": ["10.0.0.1/24"]}}}, "without host bits"),
        ({"allowedTargets": {"llm": {"hosts": ["localhost"]}}}, "the pod itself"),
        ({"allowedTargets": {"webhook": {"ips": ["169.254.169.254"]}}}, "metadata service"),
        ({"allowedTargets": {"llm": {"hosts": ["*.svc.cluster.local"]}}}, "has a wildcard"),
    ],
)
def test_an_invalid_sign_in_has_one_message(config: dict[str, object], message: str) -> None:
    found = refusal(config)
    assert message in found
    assert found.startswith("1 problem ")


def test_prod_allows_sign_up_only_through_identity_providers() -> None:
    assert "langfuse:signIn.signUp: true lets anybody who can reach prod register" in refusal(
        {"signIn": {"signUp": True}}, "prod"
    )
    google = {"google": {**provider("google"), "allowAccountLinking": True}}
    settings(stack="prod", signIn={"signUp": True, "password": False, "providers": google})
