"""Pods: what a container may do to its node."""

from langfuse_policies.rules import Findings, Severity, Topic, finding
from langfuse_policies.workloads import Pod

rules = Topic("pods", title="Pods", pack="security")


@rules.pods(
    "no-privileged-container",
    reference="P01",
    title="No container is privileged",
    why="A privileged container is root on its node: whoever breaks into it has the cluster.",
    fix="Remove securityContext.privileged; grant the one capability that is needed, if any.",
    severity=Severity.CRITICAL,
    also_in=("PSS baseline: privileged", "CIS 5.2.2", "NSA: non-root containers", "CKV_K8S_16", "C-0057", "KSV017"),
)
def no_privileged_container(pod: Pod) -> Findings:
    for container in pod.containers:
        if (privileged := container["securityContext"]["privileged"]).equals(True):
            yield finding(privileged, "the container is root on its node")
