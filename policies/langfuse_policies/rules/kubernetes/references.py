"""References: objects that refer to others match them."""

from collections.abc import Iterator

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.scaling import SCALED, autoscalers, target_of
from langfuse_policies.facts.selectors import equal, labels_of, matches, pods_by_namespace
from langfuse_policies.facts.workloads import Pod, pod_of, pods_of

topic = Topic("references", title="References between objects", pack="reliability")

#: Labels of pods that cert-manager creates while it answers a challenge for a certificate (pkg/issuer/acme/http).
_CHALLENGES = {"acme.cert-manager.io/http01-solver": "true"}

#: Groups of custom resources that create no pods.
_WITHOUT_PODS = ("k8s.io", "istio.io", "external-secrets.io", "cert-manager.io", "monitoring.coreos.com", "keda.sh")


@topic.pods(
    "no-duplicate-variable",
    title="No environment variable is set twice",
    why="The last value silently wins, and a server-side apply may merge the entries in another order.",
    fix="Remove all but one of them.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: duplicate-env-var", "kube-score: environment-variable-key-duplication"),
)
def no_duplicate_variable(pod: Pod) -> Findings:
    for container in pod.containers:
        names: set[str] = set()
        for variable in container.variables:
            name = variable["name"].text
            if name in names:
                yield finding(variable, "the name is already in this list")
            names.add(name or "")


@topic.resources(
    "selector-matches-template",
    "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet",
    title="The selector of a workload matches its pod template",
    why="The API server refuses the workload in the middle of a deployment.",
    fix="Give the pod template all labels of the selector.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: mismatching-selector",),
)  # fmt: skip
def selector_matches_template(workload: Resource) -> Findings:
    pod, selector = pod_of(workload), workload.at("spec.selector")
    if pod is None:
        return
    if selector.empty or matches(selector, labels_of(pod.labels)) is False:
        yield finding(selector, "it doesn't match the labels of the pod template")


@topic.stack(
    "service-selects-pods",
    title="A Service selects pods that exist",
    why="A Service without pods accepts no connection, and nothing reports it.",
    fix="Make the selector match the labels of a pod template in the namespace.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: dangling-service", "kube-score: service-targets-pod"),
)
def service_selects_pods(stack: Stack) -> Findings:
    pods = pods_by_namespace(stack)
    complete = _complete(stack)
    for service in stack.of("core/Service"):
        selector = service.at("spec.selector")
        if service.namespace not in complete or selector.size == 0:
            continue
        if all(equal(selector, labels) is False for _, labels in pods.get(service.namespace, ())):
            yield finding(selector, "it matches no pod of this namespace", service)


@topic.stack(
    "policy-selects-pods",
    title="Network policies and disruption budgets select pods that exist",
    why="A policy or budget without pods protects nothing. The usual cause is a label that was renamed in one of "
    "two places.",
    fix="Make the selector match the labels of a pod template in the namespace.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: dangling-networkpolicy", "kube-score: networkpolicy-targets-pod"),
)
def policy_selects_pods(stack: Stack) -> Findings:
    pods = pods_by_namespace(stack)
    complete = _complete(stack)
    for policy in stack.of("networking.k8s.io/NetworkPolicy", "policy/PodDisruptionBudget"):
        path = "spec.podSelector" if policy.kind.endswith("NetworkPolicy") else "spec.selector"
        selector = policy.at(path)
        for_challenges = matches(selector, _CHALLENGES) and not matches(selector, {})
        if policy.namespace not in complete or selector.empty or for_challenges:
            continue
        if all(matches(selector, labels) is False for _, labels in pods.get(policy.namespace, ())):
            yield finding(selector, "it matches no pod of this namespace", policy)


@topic.stack(
    "autoscaler-has-target",
    title="An autoscaler's target exists",
    why="An autoscaler without a target scales nothing, which shows only under load.",
    fix="Set scaleTargetRef to the name of the Deployment or StatefulSet.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: dangling-horizontalpodautoscaler", "kube-score: hpa-has-target"),
)
def autoscaler_has_target(stack: Stack) -> Findings:
    complete = _complete(stack)
    targets = {(one.namespace, one.kind.partition("/")[2], one.object_name) for one in stack.of(*SCALED)}
    if any(not name for _, _, name in targets):
        return
    for autoscaler in autoscalers(stack):
        target = target_of(autoscaler)
        if target is None or target[0] not in complete or target[1] not in ("Deployment", "StatefulSet", "Rollout"):
            continue
        if target not in targets:
            yield finding(autoscaler.at("spec.scaleTargetRef"), "no object has this name", autoscaler)


@topic.stack(
    "service-account-exists",
    title="The service account of a pod exists",
    why="Without it no pod is created, and the Deployment waits without an error.",
    fix="Create the ServiceAccount in the same namespace, or correct serviceAccountName.",
    severity=Severity.MEDIUM,
    also_in=("kube-linter: non-existent-service-account",),
)
def service_account_exists(stack: Stack) -> Findings:
    complete = _complete(stack)
    accounts = {(account.namespace, account.object_name) for account in stack.of("core/ServiceAccount")}
    if any(not name for _, name in accounts):
        return
    for pod in pods_of(stack):
        name: Field = pod.spec["serviceAccountName"]
        namespace = pod.resource.namespace
        if namespace in complete and name.text not in (None, "", "default") and (namespace, name.text) not in accounts:
            yield finding(name, "no ServiceAccount has this name", pod.resource)


def _complete(stack: Stack) -> set[str]:
    """Namespaces that the stack creates, and in which no operator creates pods or accounts."""
    made = {namespace.object_name for namespace in stack.of("core/Namespace") if not namespace.partial} - {""}
    return made - set(_operated(stack))


def _operated(stack: Stack) -> Iterator[str]:
    for resource in stack.resources:
        group = resource.kind.partition("/")[0]
        if resource.type.startswith("kubernetes:") and "." in group and not group.endswith(_WITHOUT_PODS):
            yield resource.namespace
