"""Confinement: seccomp, SELinux, AppArmor, and read-only file systems."""

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.facts.workloads import Pod

topic = Topic("confinement", title="Confinement of containers", pack="security")

#: pod-security-admission v0.36, policy/check_restrictedVolumes.go
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
     "secret"}
)  # fmt: skip

#: policy/check_sysctls.go, as of 1.32
_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
)  # fmt: skip

#: policy/check_seLinuxOptions.go, as of 1.31
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")

_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


@topic.pods(
    "seccomp-profile",
    title="A seccomp profile filters system calls",
    why="Without a profile, a container may make every system call. Most container escapes need a rare one.",
    fix="Set seccompProfile.type to RuntimeDefault in the pod's securityContext.",
    severity=Severity.MEDIUM,
    also_in=("PSS restricted: seccompProfile_restricted", "CIS 5.7.2", "CKV_K8S_31", "C-0055", "KSV030"),
)
def seccomp_profile(pod: Pod) -> Findings:
    if pod.windows:
        return
    of_pod = pod.spec["securityContext"]["seccompProfile"]["type"]
    if of_pod.present and of_pod.differs("RuntimeDefault", "Localhost"):
        yield finding(of_pod, "the profile is Unconfined")
    for container in pod.containers:
        own = container["securityContext"]["seccompProfile"]["type"]
        if own.absent and of_pod.absent:
            yield finding(container.fields, "it has no seccomp profile, and the pod has none")
        elif own.present and own.differs("RuntimeDefault", "Localhost"):
            yield finding(own, "the profile is Unconfined")


@topic.pods(
    "read-only-root-filesystem",
    title="The root file system is read-only",
    why="An attacker can't replace programs or leave tools behind, and no process fills the node's disk unnoticed.",
    fix="Set readOnlyRootFilesystem to true and mount an emptyDir with a sizeLimit where the program writes.",
    severity=Severity.MEDIUM,
    also_in=("NSA: immutable file systems", "CKV_K8S_22", "C-0017", "KSV014"),
)
def read_only_root_filesystem(pod: Pod) -> Findings:
    if pod.windows:  # not supported there
        return
    for container in pod.containers:
        if (read_only := container["securityContext"]["readOnlyRootFilesystem"]).differs(True):
            yield finding(read_only, "the root file system is writable")


@topic.pods(
    "restricted-volumes",
    title="Volumes have types that the restricted standard allows",
    why="Other types give access to the node or to a foreign server, and bypass storage classes, quotas and their "
    "access rules.",
    fix="Use a PersistentVolumeClaim for data, and configMap, secret, projected or emptyDir for the rest.",
    severity=Severity.MEDIUM,
    also_in=("PSS restricted: restrictedVolumes", "KSV028"),
)
def restricted_volumes(pod: Pod) -> Findings:
    for volume in pod.volumes:
        for key, source in volume.entries():
            if key not in _VOLUMES and key != "name" and source.present:
                yield finding(source, "pods may not use this type of volume")


@topic.pods(
    "default-proc-mount",
    title="/proc is masked",
    why="An unmasked /proc exposes the node's kernel settings, and lets the container change them.",
    fix="Remove procMount.",
    severity=Severity.MEDIUM,
    also_in=("PSS restricted: procMount_restricted", "KSV027"),
)
def default_proc_mount(pod: Pod) -> Findings:
    for container in pod.containers:
        mount = container["securityContext"]["procMount"]
        if mount.present and mount.differs("Default"):
            yield finding(mount, "/proc is not masked")


@topic.pods(
    "safe-sysctls",
    title="Pods set only namespaced sysctls that are safe",
    why="Other sysctls change the kernel for every pod on the node, or turn off one of its protections.",
    fix="Remove the sysctl; configure nodes instead.",
    severity=Severity.MEDIUM,
    also_in=("PSS baseline: sysctls", "KSV026"),
)
def safe_sysctls(pod: Pod) -> Findings:
    for sysctl in pod.spec["securityContext"]["sysctls"]:
        if (name := sysctl["name"]).differs(*_SYSCTLS):
            yield finding(name, "the sysctl is not safe in a pod")


@topic.pods(
    "default-selinux",
    title="SELinux confines containers with the default types",
    why="A custom type, user or role may not be confined.",
    fix="Remove seLinuxOptions, or use container_t or one of its variants.",
    severity=Severity.MEDIUM,
    also_in=("PSS baseline: seLinuxOptions", "KSV025"),
)
def default_selinux(pod: Pod) -> Findings:
    for holder in (pod.spec, *(container.fields for container in pod.containers)):
        options = holder["securityContext"]["seLinuxOptions"]
        if options["type"].present and options["type"].differs(*_SELINUX_TYPES):
            yield finding(options["type"], "the type is not one of the container types")
        for key in ("user", "role"):
            if options[key].present and not options[key].empty:
                yield finding(options[key], "a pod must not set this")


@topic.pods(
    "apparmor-confined",
    title="AppArmor is not disabled",
    why="An unconfined container may mount and trace what the default profile denies.",
    fix="Set the type to RuntimeDefault or Localhost, or remove the profile: RuntimeDefault is the default.",
    severity=Severity.MEDIUM,
    also_in=("PSS baseline: appArmorProfile", "KSV002"),
)
def apparmor_confined(pod: Pod) -> Findings:
    for holder in (pod.spec, *(container.fields for container in pod.containers)):
        profile = holder["securityContext"]["appArmorProfile"]["type"]
        if profile.present and profile.differs("RuntimeDefault", "Localhost"):
            yield finding(profile, "the profile is unconfined")
    for key, value in pod.metadata["annotations"].entries():
        if key.startswith(_APPARMOR_ANNOTATION) and value.present and not _confines(value.text or ""):
            yield finding(value, "the profile is unconfined")


def _confines(profile: str) -> bool:
    """policy/check_appArmorProfile.go: the annotation before 1.30."""
    return profile in ("", "runtime/default") or profile.startswith("localhost/")


@topic.pods(
    "no-windows-host-process",
    title="No Windows container is a host process",
    why="A host process container is an administrator of its node.",
    fix="Remove windowsOptions.hostProcess.",
    severity=Severity.CRITICAL,
    also_in=("PSS baseline: windowsHostProcess", "CIS 5.2.11", "KSV103"),
)
def no_windows_host_process(pod: Pod) -> Findings:
    for holder in (pod.spec, *(container.fields for container in pod.containers)):
        process = holder["securityContext"]["windowsOptions"]["hostProcess"]
        if process.equals(True):
            yield finding(process, "the container is a process of its node")
