"""Access: permissions of roles, and their subjects."""

from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource

topic = Topic("access", title="Access", pack="security")

_ROLES = ("rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/ClusterRole")
_BINDINGS = ("rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding")


@topic.resources(
    "no-cluster-admin",
    *_BINDINGS,
    title="No binding grants cluster-admin",
    why="An attacker in one pod with cluster-admin controls the cluster.",
    fix="Grant a Role with the permissions that are needed.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.1", "C-0035", "KSV111", "kube-linter: cluster-admin-role-binding"),
)
def no_cluster_admin(binding: Resource) -> Findings:
    if (role := binding.at("roleRef.name")).equals("cluster-admin"):
        yield finding(role, "grants everything")


@topic.resources(
    "no-rbac-wildcards",
    *_ROLES,
    title="Roles contain no wildcards",
    why="A wildcard grants everything that exists now and everything that is installed later.",
    fix="List the API groups, resources and verbs.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.3", "CKV_K8S_49", "C-0187", "KSV044", "KSV045", "KSV046"),
)
def no_rbac_wildcards(role: Resource) -> Findings:
    for rule in role["rules"]:
        for key in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
            for entry in rule[key]:
                if "*" in (entry.text or ""):
                    yield finding(entry, "is a wildcard")


def _grants(role: Resource, group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> Iterator[Field]:
    """The rules of a role that grant one of the verbs on one of the resources."""
    for rule in role["rules"]:
        if _has(rule["apiGroups"], (group,)) and _has(rule["resources"], resources) and _has(rule["verbs"], verbs):
            yield rule


def _has(entries: Field, wanted: tuple[str, ...]) -> bool:
    if not entries.known:
        return False
    return any(entry.equals(*wanted) for entry in entries)


@topic.resources(
    "no-listing-of-secrets",
    *_ROLES,
    title="No role lists Secrets",
    why="Permission to list or watch Secrets is permission to read all of them.",
    fix="Grant get on the Secrets that are needed, by resourceNames, or mount them.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.2", "C-0186", "KSV041", "kube-linter: access-to-secrets"),
)
def no_listing_of_secrets(role: Resource) -> Findings:
    for rule in _grants(role, "", ("secrets",), ("list", "watch")):
        if rule["resourceNames"].empty:
            yield finding(rule, "can read every Secret")


@topic.resources(
    "no-exec-into-pods",
    *_ROLES,
    title="No role opens shells in pods",
    why="A shell in a pod has the pod's secrets, network and mounts, and leaves no trace in the manifests.",
    fix="Remove pods/exec, pods/attach, pods/portforward and pods/ephemeralcontainers.",
    severity=Severity.CRITICAL,
    also_in=("C-0002", "KSV053", "KSV115"),
)
def no_exec_into_pods(role: Resource) -> Findings:
    shells = ("pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers")
    # get: a web socket is opened with a GET.
    for rule in _grants(role, "", shells, ("get", "create", "update", "patch")):
        yield finding(rule, "can open shells in running pods")


@topic.resources(
    "no-escalation",
    *_ROLES,
    title="No role allows escalation",
    why="The verbs escalate, bind and impersonate lift the rule that nobody can grant permissions that they do not "
    "have.",
    fix="Remove the verb.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.8", "CKV_K8S_158", "C-0191", "KSV043"),
)
def no_escalation(role: Resource) -> Findings:
    for rule in role["rules"]:
        for verb in rule["verbs"]:
            if verb.equals("escalate", "bind", "impersonate"):
                yield finding(verb, "bypasses the limits of RBAC")


@topic.resources(
    "no-control-of-webhooks",
    *_ROLES,
    title="No role can change admission webhooks",
    why="Whoever can change a webhook can read and change every object of the cluster, including Secrets.",
    fix="Remove the permission; install cluster add-ons that need it separately from applications.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.12", "CKV_K8S_155", "C-0281", "KSV114"),
)
def no_control_of_webhooks(role: Resource) -> Findings:
    webhooks = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
    for rule in _grants(role, "admissionregistration.k8s.io", webhooks, ("create", "update", "patch")):
        yield finding(rule, "can change admission webhooks")


@topic.resources(
    "no-approval-of-certificates",
    *_ROLES,
    title="No role can approve certificates",
    why="An approved request is a client certificate for any user or group.",
    fix="Remove the permission.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.11", "CKV_K8S_156", "C-0280"),
)
def no_approval_of_certificates(role: Resource) -> Findings:
    group = "certificates.k8s.io"
    for rule in _grants(role, group, ("certificatesigningrequests/approval",), ("update", "patch")):
        yield finding(rule, "can approve certificates")
    for rule in _grants(role, group, ("signers",), ("approve", "sign")):
        yield finding(rule, "can sign certificates")


@topic.resources(
    "no-proxy-to-nodes",
    *_ROLES,
    title="No role can reach the kubelet",
    why="nodes/proxy can run commands in every pod of a node, and bypasses admission and audit.",
    fix="Remove the permission; metrics are at nodes/metrics.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.10", "C-0279"),
)
def no_proxy_to_nodes(role: Resource) -> Findings:
    for rule in _grants(role, "", ("nodes/proxy",), ("get", "create", "update", "patch", "delete")):
        yield finding(rule, "can reach the kubelet")


@topic.resources(
    "no-token-creation",
    *_ROLES,
    title="No role can create tokens",
    why="Whoever can create tokens can act as any service account of the namespace.",
    fix="Remove the permission, or name the one account in resourceNames.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.13", "C-0282"),
)
def no_token_creation(role: Resource) -> Findings:
    for rule in _grants(role, "", ("serviceaccounts/token",), ("create",)):
        if rule["resourceNames"].empty:
            yield finding(rule, "can create tokens of every service account")


@topic.resources(
    "no-rights-for-everyone",
    *_BINDINGS,
    title="Nothing is granted to everyone",
    why="These groups contain everyone on the network, or every pod of the cluster; permissions of system:masters "
    "can't be revoked.",
    fix="Name the service account or the group of people that needs it.",
    severity=Severity.CRITICAL,
    also_in=("CIS 5.1.7", "C-0262", "C-0265", "KSV122", "KSV123", "Gatekeeper: k8sdisallowanonymous"),
)
def no_rights_for_everyone(binding: Resource) -> Findings:
    everyone = ("system:anonymous", "system:unauthenticated", "system:authenticated", "system:masters")
    for subject in binding["subjects"]:
        if not subject["kind"].equals("ServiceAccount") and (name := subject["name"]).equals(*everyone):
            yield finding(name, "grants permissions to everyone")
