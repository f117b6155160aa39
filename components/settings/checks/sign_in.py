"""Checks of how users sign in."""

import json
from collections.abc import Iterator

from components.schema.environment import Settings


def somebody_can_sign_in(settings: Settings) -> Iterator[str]:
    """Some combinations lock everybody out. Others let anybody in."""
    sign_in = settings.sign_in
    providers = sign_in.providers.configured()
    if not sign_in.password and not providers:
        yield "signIn.password: false leaves no way to sign in; add signIn.providers, or set it to true"
    if not sign_in.password and providers and not any(one.allow_account_linking for one in providers.values()):
        yield (
            f"signIn.password: false locks out the first user ({settings.first_start.owner_email}), who is created "
            "with a password that no provider may link to; set allowAccountLinking on a provider that verifies e-mails"
        )
    if sign_in.sso_domains and not providers:
        yield (
            f"signIn.ssoDomains: {json.dumps(sign_in.sso_domains)} cannot sign in without a provider; "
            "add signIn.providers"
        )
    if settings.profile == "prod" and settings.ingress.creates_route and sign_in.sign_up and sign_in.password:
        yield (
            "signIn.signUp: true lets anybody who can reach prod register with any e-mail; set it to false, or set "
            "signIn.password to false"
        )
    if sign_in.email_verification and settings.mail is None:
        yield "signIn.emailVerification: true requires mail; add mail"
    workos = sign_in.providers.workos
    if workos and workos.organization_id and workos.connection_id:
        yield "signIn.providers.workos.connectionId: is ignored if organizationId is set; remove one of them"
