"""Hooks: commands that run when a container starts, and before it stops."""

from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.hooks import GRACE_SECONDS, all_known, loops, pre_stop_seconds, programs
from langfuse_policies.facts.workloads import Pod

topic = Topic("hooks", title="Hooks", pack="reliability")

#: Programs and builtins that end at once: they use files and wait for nothing.
_QUICK = frozenset(
    {":", "[", "[[", "cat", "cd", "chgrp", "chmod", "chown", "cp", "date", "echo", "exit", "export", "false", "grep",
     "install", "ln", "mkdir", "mv", "printf", "rm", "rmdir", "sed", "set", "test", "touch", "tr", "true", "umask"}
)  # fmt: skip


@topic.pods(
    "no-waiting-post-start",
    title="No postStart hook waits",
    why="While a postStart hook runs, the kubelet publishes no address of the pod: no Service routes to it, it has "
    "no DNS name, and network policies may block its connections. A hook that waits for itself or for pods that "
    "start with it waits until it is killed, and meanwhile the pod can't even be deleted "
    "(kubernetes/kubernetes#85966).",
    fix="Wait in a startupProbe, an init container or a sidecar. A postStart hook may write and move files.",
    severity=Severity.HIGH,
)
def no_waiting_post_start(pod: Pod) -> Findings:
    for container in pod.containers:
        hook = container["lifecycle"]["postStart"]
        for handler in ("httpGet", "tcpSocket", "sleep"):
            if hook[handler].present:
                yield finding(hook[handler], "the pod has no address until it ends")
        command = hook.at("exec.command")
        if all_known(command) and any(program not in _QUICK for program in programs(command.texts)):
            yield finding(command, "it may wait, and the pod has no address until it ends")


class Stop(Settings):
    """How much of the grace period is left after a preStop hook."""

    least_seconds: Annotated[
        float, Meta(gt=0, description="Seconds that the container itself has after its preStop hook.")
    ] = 10


@topic.pods(
    "pre-stop-within-grace",
    title="A preStop hook leaves the server time to stop",
    why="The grace period starts with the hook. The server has only the rest of it to finish requests and write "
    "its data before it is killed. A hook without a time limit can use all of it.",
    fix="Limit the hook (`timeout 10 COMMAND`), and set terminationGracePeriodSeconds to the time of the hook plus "
    "that of the server.",
    severity=Severity.HIGH,
    settings=Stop,
)
def pre_stop_within_grace(pod: Pod, settings: Stop) -> Findings:
    grace = pod.spec["terminationGracePeriodSeconds"]
    if not grace.known:
        return
    allowed = (GRACE_SECONDS if grace.number is None else grace.number) - settings.least_seconds
    for container in pod.containers:
        hook = container["lifecycle"]["preStop"]
        command = hook.at("exec.command")
        if (seconds := hook.at("sleep.seconds").number) is not None and seconds > allowed:
            yield finding(hook.at("sleep.seconds"), "too little of the grace period is left")
        elif not all_known(command):
            continue
        elif pre_stop_seconds(hook) > allowed:
            yield finding(command, "too little of the grace period is left")
        elif loops(command.texts):
            yield finding(command, "it is a loop without an end")
