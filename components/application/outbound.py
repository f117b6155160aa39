"""What Langfuse calls: the mail server, and what users may make it call in private networks. Pure."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

from components.kubernetes.variables import Environment, SecretRef
from components.schema.environment import Settings
from components.schema.targets import AllowedTargets

_USES = ("LLM_CONNECTION", "WEBHOOK", "BLOB_STORAGE_ENDPOINT", "SSO_DISCOVERY")


def mail_environment(settings: Settings, refs: Mapping[str, SecretRef]) -> Environment:
    """For web and worker: both send mail."""
    if settings.mail is None:
        return {}
    return {"EMAIL_FROM_ADDRESS": settings.mail.sender, "SMTP_CONNECTION_URL": refs["smtp_url"]}


def target_environment(allowed: AllowedTargets) -> Environment:
    """For web and worker: exceptions from the rule that private addresses are not called.

    packages/shared/src/server/outbound-url/validation.ts: a host is compared whole, and its addresses are not looked
    at then; addresses and ranges hold for every host that resolves to them.
    """
    variables: dict[str, str] = {}
    for use, targets in zip(
        _USES, (allowed.llm, allowed.webhook, allowed.blob_storage, allowed.sso_discovery), strict=True
    ):
        lists = {"HOST": targets.hosts, "IPS": targets.ips, "IP_SEGMENTS": targets.ranges}
        variables |= {f"LANGFUSE_{use}_WHITELISTED_{kind}": ",".join(items) for kind, items in lists.items() if items}
    return variables


def target_rules(
    allowed: AllowedTargets, tunnel: Sequence[int]
) -> list[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict]:
    """The way to pods that users may make Langfuse call, like those of an LLM gateway: to each, its port alone.

    Between pods of an ambient mesh the connection goes through a tunnel, at a port of its own.
    """
    return [
        {
            "to": [
                {
                    "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": pods.namespace}},
                    "pod_selector": {"match_labels": dict(pods.labels)},
                }
            ],
            "ports": [{"port": port, "protocol": "TCP"} for port in (pods.port, *tunnel)],
        }
        for targets in (allowed.llm, allowed.webhook, allowed.blob_storage, allowed.sso_discovery)
        for pods in targets.pods
    ]
