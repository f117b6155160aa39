"""oauth2-proxy in front of the UI: it admits only users of an OpenID Connect provider."""

from collections.abc import Sequence

import pulumi

from components.application import outbound
from components.application.component import ApplicationContext
from components.application.environment import WEB_PORT
from components.application.sign_in import PROXY_CALLBACK
from components.kubernetes.deployments import deployment
from components.kubernetes.objects import Scope, child_options, service, service_account
from components.kubernetes.pods import TMP, container, http_probe, pod, secret_names
from components.kubernetes.variables import Environment, text
from components.schema import images
from components.schema.base import Resources
from components.schema.environment import Settings
from components.schema.ingress import SignInProxy as SignInProxySettings
from components.schema.workloads import Workload
from components.stores.connections import Endpoint
from components.stores.contract import SIGN_IN_PROXY, SecretRefs

PORT = 4180
UPSTREAM_SECONDS = 600
"""As long as a request to web may take. The default is 30 (pkg/apis/options/legacy_options.go)."""

RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="256Mi")
"""An assumption: it holds no sessions, but decrypts one in each request."""

GRACE_SECONDS = 60
"""At SIGTERM, it stops to accept connections and finishes its requests (pkg/http/server.go)."""


class SignInProxy(pulumi.ComponentResource):
    """A Deployment of oauth2-proxy, and the Service to which the public route leads instead of web."""

    endpoint: Endpoint

    def __init__(
        self,
        name: str,
        context: ApplicationContext,
        config: SignInProxySettings,
        web: Endpoint,
        opts: pulumi.ResourceOptions,
        *,
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        """Creates the component.

        Args:
            name: Name of the component.
            context: Settings and credentials.
            config: The provider, and whom it admits.
            web: The server behind it.
            opts: Options of the component.
            after: What must exist before the pods start.
        """
        super().__init__("langfuse:index:SignInProxy", name, config.model_dump(), opts)
        image = images.OAUTH2_PROXY
        workload = context.installation.workload(SIGN_IN_PROXY, component="ingress", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope)
        environment = proxy_environment(context.settings, config, web, context.refs)
        proxy = container(
            SIGN_IN_PROXY,
            image,
            resources=RESOURCES,
            mounts=[TMP],
            env=environment,
            ports={"http": PORT},
            startup=http_probe("/ready", PORT, period=2, failures=60),
            readiness=http_probe("/ready", PORT, period=5, failures=3),
            liveness=http_probe("/ping", PORT, period=10, failures=6),
        )
        template = pod(
            workload,
            [proxy],
            fs_group=image.uid,
            mounts=[TMP],
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        service(scope, {"http": PORT})
        deployment(scope, Workload(replicas=config.replicas, resources=RESOURCES), template, after=after)
        self.endpoint = Endpoint(host=workload.resource_name, port=PORT)
        self.register_outputs({})


def proxy_environment(settings: Settings, config: SignInProxySettings, web: Endpoint, refs: SecretRefs) -> Environment:
    """The variables of oauth2-proxy (oauth2-proxy.github.io/oauth2-proxy/configuration/overview).

    Requests without a session are redirected to the provider, and those of the API answered with 401. Headers that
    Langfuse reads are left as they are, so that its own sign-in works as without it.
    """
    url = settings.public_url
    return {
        "OAUTH2_PROXY_API_ROUTES": "^/api/",
        "OAUTH2_PROXY_CLIENT_ID": config.client_id,
        "OAUTH2_PROXY_CLIENT_SECRET": refs["sign_in_proxy_client_secret"],
        "OAUTH2_PROXY_CODE_CHALLENGE_METHOD": "S256",
        "OAUTH2_PROXY_COOKIE_NAME": "__Host-langfuse-proxy" if url.startswith("https:") else "langfuse-proxy",
        "OAUTH2_PROXY_COOKIE_SAMESITE": "lax",
        "OAUTH2_PROXY_COOKIE_SECRET": refs["sign_in_proxy_cookie_secret"],
        "OAUTH2_PROXY_COOKIE_SECURE": text(url.startswith("https:")),
        "OAUTH2_PROXY_EMAIL_DOMAINS": text([*config.email_domains]) or "*",
        "OAUTH2_PROXY_HTTP_ADDRESS": f":{PORT}",
        "OAUTH2_PROXY_OIDC_ISSUER_URL": config.issuer,
        "OAUTH2_PROXY_PASS_BASIC_AUTH": "false",
        "OAUTH2_PROXY_PASS_USER_HEADERS": "false",
        "OAUTH2_PROXY_PROVIDER": "oidc",
        "OAUTH2_PROXY_REDIRECT_URL": f"{url}{PROXY_CALLBACK}",
        "OAUTH2_PROXY_REVERSE_PROXY": "true",
        "OAUTH2_PROXY_SCOPE": " ".join(dict.fromkeys(["openid", *config.scopes])),
        "OAUTH2_PROXY_SKIP_PROVIDER_BUTTON": "true",
        "OAUTH2_PROXY_UPSTREAMS": f"http://{web.host}:{WEB_PORT}/",
        "OAUTH2_PROXY_UPSTREAM_TIMEOUT": f"{UPSTREAM_SECONDS}s",
        **({"OAUTH2_PROXY_ALLOWED_GROUPS": text([*config.groups])} if config.groups else {}),
        **({"OAUTH2_PROXY_INSECURE_OIDC_ALLOW_UNVERIFIED_EMAIL": "true"} if config.unverified_emails else {}),
        "OAUTH2_PROXY_OIDC_GROUPS_CLAIM": config.groups_claim,
        **outbound.proxy_environment(settings),
    }
