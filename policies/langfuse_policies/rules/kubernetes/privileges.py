"""Privileges: users, groups and capabilities of containers."""

from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.workloads import Pod

topic = Topic("privileges", title="Users and capabilities", pack="security")


@topic.pods(
    "drop-all-capabilities",
    title="Containers drop all capabilities",
    why="Runtimes grant a dozen capabilities of root by default, among them raw packets, which allow spoofing in "
    "the cluster.",
    fix="Set securityContext.capabilities.drop to [ALL] in every container.",
    severity=Severity.HIGH,
    also_in=("PSS restricted: capabilities_restricted", "CIS 5.2.10", "CKV_K8S_37", "C-0046", "KSV106"),
)
def drop_all_capabilities(pod: Pod) -> Findings:
    if pod.windows:
        return
    for container in pod.containers:
        drop = container["securityContext"]["capabilities"]["drop"]
        if drop.known and not any(not one.known or one.equals("ALL") for one in drop):
            yield finding(drop, "ALL is not dropped")


@topic.pods(
    "no-added-capability",
    title="Containers add no capability but NET_BIND_SERVICE",
    why="Each capability is a part of root's power, and several of them can be used to gain all of it.",
    fix="Remove capabilities.add, or move the process that needs the capability to a pod of its own.",
    severity=Severity.HIGH,
    also_in=("PSS restricted: capabilities_restricted", "CIS 5.2.9", "CKV_K8S_25", "C-0046", "KSV022"),
)
def no_added_capability(pod: Pod) -> Findings:
    for container in pod.containers:
        for added in container["securityContext"]["capabilities"]["add"]:
            if added.differs("NET_BIND_SERVICE"):
                yield finding(added, "the capability is a part of root's power")


@topic.pods(
    "no-privilege-escalation",
    title="Processes can't gain privileges",
    why="Otherwise a set-user-ID program in the image can make a user root again.",
    fix="Set securityContext.allowPrivilegeEscalation to false in every container.",
    severity=Severity.HIGH,
    also_in=("PSS restricted: allowPrivilegeEscalation", "CIS 5.2.6", "CKV_K8S_20", "C-0016", "KSV001"),
)
def no_privilege_escalation(pod: Pod) -> Findings:
    if pod.windows:
        return
    for container in pod.containers:
        if (escalation := container["securityContext"]["allowPrivilegeEscalation"]).differs(False):
            yield finding(escalation, "processes can gain privileges: the default is true")


@topic.pods(
    "run-as-non-root",
    title="The kubelet refuses to start containers as root",
    why="Without this setting, an image that runs as root, now or in its next release, starts as root.",
    fix="Set runAsNonRoot to true in the pod's securityContext.",
    severity=Severity.HIGH,
    also_in=("PSS restricted: runAsNonRoot", "CIS 5.2.7", "CKV_K8S_23", "C-0013", "KSV012"),
)
def run_as_non_root(pod: Pod) -> Findings:
    if pod.has_user_namespace:
        return
    of_pod = pod.spec["securityContext"]["runAsNonRoot"]
    if of_pod.present and of_pod.differs(True):
        yield finding(of_pod, "root is allowed")
    for container in pod.containers:
        own = container["securityContext"]["runAsNonRoot"]
        if own.absent and of_pod.absent:
            yield finding(container.fields, "neither the container nor the pod sets runAsNonRoot")
        elif own.present and own.differs(True):
            yield finding(own, "root is allowed")


@topic.pods(
    "no-root-user",
    title="No container runs as user 0",
    why="Root in a container is root on the node as soon as one isolation mechanism fails.",
    fix="Set runAsUser to a user ID other than 0.",
    severity=Severity.HIGH,
    also_in=("PSS restricted: runAsUser", "CIS 5.2.7", "C-0013", "KSV105"),
)
def no_root_user(pod: Pod) -> Findings:
    if pod.has_user_namespace:
        return
    for holder in (pod.spec, *(container.fields for container in pod.containers)):
        if (user := holder["securityContext"]["runAsUser"]).equals(0):
            yield finding(user, "the user is root")


class Assigned(Settings):
    """Clusters that assign users and groups from a range of the namespace, so that pods must not set them."""

    constraints: Annotated[
        tuple[str, ...],
        Meta(description="Security context constraints of OpenShift that assign them: `openshift.io/required-scc`."),
    ] = ("restricted-v2", "restricted-v3")
    always: Annotated[bool, Meta(description="Whether the cluster assigns them to every pod.")] = False


def _assigned(pod: Pod, settings: Assigned) -> bool:
    """Whether the cluster assigns the user and the groups. Such a pod is refused elsewhere."""
    required = pod.metadata["annotations"]["openshift.io/required-scc"]
    return settings.always or not required.known or required.equals(*settings.constraints)


@topic.pods(
    "numeric-user",
    title="The user is set by its ID",
    why="Images name their user (Langfuse's are nextjs and expressjs). The kubelet can't tell whether a name is "
    "root, and refuses to start the container.",
    fix="Set runAsUser to the ID of the image's user, in the pod's or the container's securityContext. On OpenShift, "
    "set the annotation openshift.io/required-scc to restricted-v2 instead.",
    severity=Severity.HIGH,
    also_in=("CKV_K8S_40", "KSV020", "kube-score: container-security-context-user-group-id"),
    settings=Assigned,
)
def numeric_user(pod: Pod, settings: Assigned) -> Findings:
    if pod.windows or _assigned(pod, settings):
        return
    for container in pod.containers:
        if (user := container.effective("runAsUser")).absent:
            yield finding(user, "no user is set")


@topic.pods(
    "numeric-group",
    title="The group is set by its ID",
    why="A user without a group is in the root group, 0, unless the image defines that user.",
    fix="Set runAsGroup to a group ID other than 0, in the pod's or the container's securityContext.",
    severity=Severity.MEDIUM,
    also_in=("KSV021", "kube-score: container-security-context-user-group-id"),
    settings=Assigned,
)
def numeric_group(pod: Pod, settings: Assigned) -> Findings:
    if pod.windows or _assigned(pod, settings):
        return
    for container in pod.containers:
        if (group := container.effective("runAsGroup")).absent:
            yield finding(group, "no group is set")


@topic.pods(
    "no-root-group",
    title="No container is in group 0",
    why="Images and volumes give the root group access to many files that only root should have.",
    fix="Set runAsGroup, fsGroup and supplementalGroups to group IDs other than 0.",
    severity=Severity.MEDIUM,
    also_in=("KSV116", "Kyverno: require-non-root-groups"),
)
def no_root_group(pod: Pod) -> Findings:
    context = pod.spec["securityContext"]
    own = [container["securityContext"]["runAsGroup"] for container in pod.containers]
    for group in (context["runAsGroup"], context["fsGroup"], *context["supplementalGroups"], *own):
        if group.equals(0):
            yield finding(group, "the group is the root group")


@topic.pods(
    "volume-group",
    title="Claimed volumes belong to a group",
    why="A new volume belongs to root: without fsGroup, other users can't write to it.",
    fix="Set fsGroup in the pod's securityContext to the group of the containers.",
    severity=Severity.MEDIUM,
    also_in=("KSV116", "Kyverno: require-non-root-groups"),
    settings=Assigned,
)
def volume_group(pod: Pod, settings: Assigned) -> Findings:
    group = pod.spec["securityContext"]["fsGroup"]
    if group.absent and not pod.windows and not _assigned(pod, settings) and _claims(pod):
        yield finding(group, "the pod claims volumes but sets no fsGroup")


def _claims(pod: Pod) -> bool:
    templates: Field = pod.resource.at("spec.volumeClaimTemplates")
    return templates.size > 0 or any(
        volume["persistentVolumeClaim"].present or volume["ephemeral"].present for volume in pod.volumes
    )
