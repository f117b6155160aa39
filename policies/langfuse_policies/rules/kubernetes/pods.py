"""Pods: access to their node."""

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.workloads import Container, Pod

topic = Topic("pods", title="Pods", pack="security")


@topic.pods(
    "no-privileged-container",
    title="No container is privileged",
    why="A privileged container is root on its node: an attacker in it controls the cluster.",
    fix="Remove securityContext.privileged; add the one capability that is needed, if any.",
    severity=Severity.CRITICAL,
    also_in=("PSS baseline: privileged", "CIS 5.2.2", "NSA: non-root containers", "CKV_K8S_16", "C-0057", "KSV017"),
)
def no_privileged_container(pod: Pod) -> Findings:
    for container in pod.containers:
        if (privileged := container["securityContext"]["privileged"]).equals(True):
            yield finding(privileged, "the container is root on its node")


@topic.pods(
    "no-host-namespace",
    title="No pod uses a namespace of its node",
    why="In the node's network, process or IPC namespace, a pod bypasses network policies and sees the traffic and "
    "secrets of other pods.",
    fix="Remove hostNetwork, hostPID and hostIPC.",
    severity=Severity.CRITICAL,
    also_in=("PSS baseline: hostNamespaces", "CIS 5.2.3", "CKV_K8S_17", "CKV_K8S_19", "C-0038", "C-0041", "KSV009"),
)
def no_host_namespace(pod: Pod) -> Findings:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if (shared := pod.spec[key]).equals(True):
            yield finding(shared, "the pod uses this namespace of its node")


@topic.pods(
    "no-host-path",
    title="No volume is a path of the node",
    why="A path of the node can expose the container runtime's socket, the kubelet's credentials and other pods' data.",
    fix="Use a PersistentVolumeClaim, an emptyDir or a projected volume.",
    severity=Severity.CRITICAL,
    also_in=("PSS baseline: hostPathVolumes", "CIS 5.2.12", "NSA: hostPath", "CKV_K8S_27", "C-0048", "KSV023"),
)
def no_host_path(pod: Pod) -> Findings:
    for volume in pod.volumes:
        for source in (volume, *volume["projected"]["sources"]):
            if source["hostPath"].present:
                yield finding(source["hostPath"], "the volume is a path of the node")


@topic.resources(
    "no-host-path-persistent-volume",
    "core/PersistentVolume",
    title="No PersistentVolume is a path of the node",
    why="A pod that claims the volume can access the node's files, and pod admission does not detect it.",
    fix="Use a CSI driver, or a local volume on a separate disk.",
    severity=Severity.HIGH,
    also_in=("C-0045", "C-0048"),
)
def no_host_path_persistent_volume(volume: Resource) -> Findings:
    if (path := volume.at("spec.hostPath")).present:
        yield finding(path, "the volume is a path of the node")


@topic.pods(
    "no-host-port",
    title="No container uses a port of its node",
    why="A port of the node is open to everyone who can reach the node, and bypasses Services and network policies.",
    fix="Remove hostPort; publish the port with a Service.",
    severity=Severity.HIGH,
    also_in=("PSS baseline: hostPorts", "CIS 5.2.13", "CKV_K8S_26", "C-0044", "KSV024"),
)
def no_host_port(pod: Pod) -> Findings:
    for container in pod.containers:
        for port in container["ports"]:
            if port["hostPort"].present and port["hostPort"].differs(0):
                yield finding(port["hostPort"], "the port is open on the node")


@topic.pods(
    "no-host-probe",
    title="Probes and hooks connect to the pod itself",
    why="The kubelet sends probes and hooks. With a custom host, it sends requests into the node's network on "
    "behalf of the pod.",
    fix="Remove host; set a Host header if the server needs the name.",
    severity=Severity.LOW,
    also_in=("PSS baseline: hostProbesAndHostLifecycle",),
)
def no_host_probe(pod: Pod) -> Findings:
    for container in pod.containers:
        for handler in _handlers(container):
            for way in ("httpGet", "tcpSocket"):
                host = handler[way]["host"]
                if host.present and not host.empty:
                    yield finding(host, "the kubelet connects to another host than the pod")


def _handlers(container: Container) -> list[Field]:
    hooks = container["lifecycle"]
    probes = [container[name] for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    return [*probes, hooks["postStart"], hooks["preStop"]]


#: Tools that serve nothing, by the last part of the image's repository or by the container's name.
_DEBUGGERS = frozenset(
    {"debug", "debugger", "netshoot", "dnsutils", "jessie-dnsutils", "toolbox", "kubectl-debug", "delve", "dlv"}
)
_IDLE = ("sleep infinity", "tail -f /dev/null")


@topic.pods(
    "no-debug-container",
    title="No container is a debugging tool",
    why="A container with a shell and tools beside the service helps an attacker.",
    fix="Remove it; debug with `kubectl debug`, whose container ends with the session.",
    severity=Severity.LOW,
    also_in=("MITRE T1609",),
)
def no_debug_container(pod: Pod) -> Findings:
    for container in pod.containers:
        repository, _, tag = (container["image"].text or "").partition("@")[0].rpartition("/")[2].partition(":")
        name = container["name"].text or ""
        command = " ".join((*container["command"].texts, *container["args"].texts))
        if container.list_name == "ephemeralContainers":
            yield finding(container.fields, "ephemeral containers don't belong in a program")
        elif not {repository, tag, name}.isdisjoint(_DEBUGGERS):
            yield finding(container.fields, "its name or image says that it is for debugging")
        elif container["stdin"].equals(True) or container["tty"].equals(True):
            yield finding(container.fields, "it waits for input from a terminal")
        elif command.endswith(_IDLE):
            yield finding(container.fields, "its command only waits")


_SSH_PORT = 22


@topic.pods(
    "no-ssh-port",
    title="No container listens for SSH",
    why="SSH bypasses the API server: it has no audit log and no roles, and its own keys.",
    fix="Remove the port; use `kubectl exec`.",
    severity=Severity.LOW,
    also_in=("C-0042", "kube-linter: ssh-port"),
)
def no_ssh_port(pod: Pod) -> Findings:
    for container in pod.containers:
        for port in container["ports"]:
            if port["containerPort"].equals(_SSH_PORT) or port["name"].equals("ssh", "sshd"):
                yield finding(port, "the port is the port of SSH")
