"""Environment variables for what Langfuse calls: mail servers, and targets in private networks."""

from collections.abc import Mapping

from components.kubernetes.variables import Environment, SecretRef
from components.schema.environment import Settings
from components.schema.targets import AllowedTargets

_USES = ("LLM_CONNECTION", "WEBHOOK", "BLOB_STORAGE_ENDPOINT", "SSO_DISCOVERY")


def mail_environment(settings: Settings, refs: Mapping[str, SecretRef]) -> Environment:
    """For web and worker, which both send mail."""
    if settings.mail is None:
        return {}
    return {"EMAIL_FROM_ADDRESS": settings.mail.sender, "SMTP_CONNECTION_URL": refs["smtp_url"]}


def target_environment(allowed: AllowedTargets) -> Environment:
    """For web and worker: the private addresses that Langfuse may call. By default it refuses all of them.

    packages/shared/src/server/outbound-url/validation.ts compares the whole host name, and does not check the addresses
    of a host that matches. Addresses and ranges apply to every host that resolves to them.
    """
    variables: dict[str, str] = {}
    for use, targets in zip(
        _USES, (allowed.llm, allowed.webhook, allowed.blob_storage, allowed.sso_discovery), strict=True
    ):
        lists = {"HOST": targets.hosts, "IPS": targets.ips, "IP_SEGMENTS": targets.ranges}
        variables |= {f"LANGFUSE_{use}_WHITELISTED_{kind}": ",".join(items) for kind, items in lists.items() if items}
    return variables
