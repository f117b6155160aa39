"""Identity: the service accounts of pods."""

from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Pod, pods_of

topic = Topic("identity", title="Identity", pack="security")

_CLUSTER_BINDING = "rbac.authorization.k8s.io/ClusterRoleBinding"
_BINDINGS = ("rbac.authorization.k8s.io/RoleBinding", _CLUSTER_BINDING)

#: Namespace and name of a service account.
Account = tuple[str, str]


@topic.stack(
    "no-needless-token",
    title="Only pods that use the Kubernetes API have a token for it",
    why="An attacker in a container finds the token, and with it the permissions of the service account.",
    fix="Set automountServiceAccountToken: false on the pod, and project no token into a volume.",
    severity=Severity.MEDIUM,
    also_in=("CIS 5.1.6", "NSA: authentication and authorization", "CKV_K8S_38", "C-0034", "KSV036"),
)
def no_needless_token(stack: Stack) -> Findings:
    accounts = {
        (one.namespace, one.object_name): one["automountServiceAccountToken"] for one in stack.of("core/ServiceAccount")
    }
    bound = {account for binding in stack.of(*_BINDINGS) for account in _accounts(binding)}
    for pod in pods_of(stack):
        account = _account(pod)
        own = pod.spec["automountServiceAccountToken"]
        mounted = accounts.get(account, own) if account and own.absent else own
        if not account or account in bound:
            continue
        for place in ([own] if mounted.differs(False) else []) + _projected_tokens(pod):
            yield finding(place, "a token is mounted, but its service account has no permissions", of=pod.resource)


def _projected_tokens(pod: Pod) -> list[Field]:
    """Volumes with tokens for the API; tokens with another audience are for a cloud or a vault."""
    sources = (source["serviceAccountToken"] for volume in pod.volumes for source in volume["projected"]["sources"])
    return [token for token in sources if token.present and token["audience"].absent]


@topic.resources(
    "service-account-without-token",
    "core/ServiceAccount",
    title="Service accounts do not mount their token by default",
    why="Every pod that does not set automountServiceAccountToken gets the token.",
    fix="Set automountServiceAccountToken: false; a pod that needs the token sets it to true.",
    severity=Severity.MEDIUM,
    also_in=("CIS 5.1.6", "C-0034", "C-0190"),
)
def service_account_without_token(account: Resource) -> Findings:
    if (mounted := account["automountServiceAccountToken"]).differs(False):
        yield finding(mounted, "pods get a token by default")


@topic.pods(
    "own-service-account",
    title="Pods have a service account of their own",
    why="Every pod of the namespace that uses the account default has all permissions granted to it.",
    fix="Create a ServiceAccount for the component and name it in serviceAccountName.",
    severity=Severity.MEDIUM,
    also_in=("CIS 5.1.5", "CKV_K8S_41", "C-0189", "kube-linter: default-service-account"),
)
def own_service_account(pod: Pod) -> Findings:
    name = _account_name(pod)
    if name.empty or name.equals("default"):
        yield finding(name, "the pod uses the account default")


@topic.stack(
    "service-account-of-one-component",
    title="Components don't share service accounts",
    why="Permissions that one component needs are available to the other, and a mesh can't tell them apart.",
    fix="Create a ServiceAccount for each component.",
    severity=Severity.MEDIUM,
    also_in=("C-0189",),
)
def service_account_of_one_component(stack: Stack) -> Findings:
    owners: dict[Account, str] = {}
    for pod in pods_of(stack):
        account, component = _account(pod), _component(pod)
        if account is None or component is None or account[1] == "default":
            continue
        if owners.setdefault(account, component) != component:
            yield finding(_account_name(pod), "another component uses this account too", of=pod.resource)


def _component(pod: Pod) -> str | None:
    """Its application: the label app.kubernetes.io/name, or the name of the workload."""
    name = pod.labels["app.kubernetes.io/name"]
    if name.absent:
        name = pod.resource.metadata["name"]
    return name.text


def _account_name(pod: Pod) -> Field:
    older = pod.spec["serviceAccount"]  # deprecated, still read
    name = pod.spec["serviceAccountName"]
    return older if name.empty and older.present else name


def _account(pod: Pod) -> Account | None:
    """Its service account; None while it is unknown."""
    name = _account_name(pod)
    if not name.known or not pod.resource.metadata["namespace"].known:
        return None
    return pod.resource.namespace, name.text or "default"


@topic.stack(
    "jobs-within-their-namespace",
    title="Jobs have no permissions outside their namespace",
    why="Migrations and restores run scripts and images that change often; a mistake in one must not affect the "
    "cluster.",
    fix="Bind a Role of the namespace with a RoleBinding.",
    severity=Severity.MEDIUM,
    also_in=("C-0272",),
)
def jobs_within_their_namespace(stack: Stack) -> Findings:
    jobs = {_account(pod) for pod in pods_of(stack) if pod.resource.kind.startswith("batch/")} - {None}
    for binding in stack.of(*_BINDINGS):
        reached = [account for account in _accounts(binding) if account in jobs]
        if reached and binding.kind == _CLUSTER_BINDING:
            yield finding(
                binding["subjects"], "grants permissions in the cluster to a Job's service account", of=binding
            )
        elif binding.namespace and any(namespace != binding.namespace for namespace, _ in reached):
            yield finding(
                binding["subjects"], "grants permissions in this namespace to a Job of another one", of=binding
            )


def _accounts(binding: Resource) -> Iterator[Account]:
    """Each service account that a binding names."""
    for subject in binding["subjects"]:
        if subject["kind"].equals("ServiceAccount") and (name := subject["name"].text):
            yield subject["namespace"].text or "", name
