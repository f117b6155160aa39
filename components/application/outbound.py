"""Environment variables and egress rules for what Langfuse calls: mail servers, and targets in private networks."""

from collections.abc import Mapping, Sequence

import pulumi_kubernetes as k8s

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


def target_rules(
    allowed: AllowedTargets, tunnel: Sequence[int]
) -> list[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict]:
    """Egress rules for pods that users may make Langfuse call, for example an LLM gateway: one port of each.

    Args:
        allowed: The targets.
        tunnel: Ports of the tunnel that carries connections between pods of an ambient mesh.
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
