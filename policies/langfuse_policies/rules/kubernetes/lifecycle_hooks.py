"""Hooks: commands that run when a container starts, and before it stops."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.workloads import Pod

topic = Topic("hooks", title="Hooks", pack="reliability")

GRACE_SECONDS = 30.0
"""Kubernetes' default of terminationGracePeriodSeconds (API reference, PodSpec v1 core)."""

_SHELLS = frozenset({"ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"})

#: Programs and builtins that end at once: they use files and wait for nothing.
_QUICK = frozenset(
    {":", "[", "[[", "cat", "cd", "chgrp", "chmod", "chown", "cp", "date", "echo", "exit", "export", "false", "grep",
     "install", "ln", "mkdir", "mv", "printf", "rm", "rmdir", "sed", "set", "test", "touch", "tr", "true", "umask"}
)  # fmt: skip
_BEFORE_A_COMMAND = frozenset({"!", "(", "do", "elif", "else", "if", "then", "{"})
_AFTER_A_COMMAND = frozenset({"done", "esac", "fi", "}"})
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


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
        for way in ("httpGet", "tcpSocket", "sleep"):
            if hook[way].present:
                yield finding(hook[way], "the pod has no address until it ends")
        command = hook.at("exec.command")
        if _all_known(command) and any(program not in _QUICK for program in _programs(command.texts)):
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
        elif not _all_known(command):
            continue
        elif pre_stop_seconds(hook) > allowed:
            yield finding(command, "too little of the grace period is left")
        elif _loops(command.texts):
            yield finding(command, "it is a loop without an end")


def pre_stop_seconds(hook: Field) -> float:
    """Seconds that a preStop hook takes at least, or at most by its own limit: `sleep 5`, `timeout 10 x`."""
    if (seconds := hook.at("sleep.seconds").number) is not None:
        return seconds
    return sum(_durations(hook.at("exec.command").texts))


def _durations(words: Sequence[str]) -> Iterator[float]:
    for command in _commands(words):
        if command[0] not in ("sleep", "timeout"):
            continue
        arguments = iter(command[1:])
        for word in arguments:
            if word in ("-k", "-s", "--kill-after", "--signal"):
                next(arguments, None)
            elif not word.startswith("-"):
                if match := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", word):
                    yield float(match[1]) * _SECONDS[match[2]]
                break


def _loops(words: Sequence[str]) -> bool:
    return any(command[0] in ("until", "while") for command in _commands(words))


def _all_known(command: Field) -> bool:
    return command.known and all(word.known for word in command)


def _programs(words: Sequence[str]) -> Iterator[str]:
    """The programs that a command starts; `sh` for a script whose text is not part of it."""
    for command in _commands(words):
        yield command[0]
        # Commands in `$(...)` and backquotes can't be seen.
        if any("$(" in word or "`" in word for word in command):
            yield "$("


def _commands(words: Sequence[str]) -> Iterator[list[str]]:
    """The simple commands of a command line, those of `sh -c TEXT` included; each starts with its program's name."""
    words = _without_assignments(words)
    if not words:
        return
    program = words[0].rpartition("/")[2]
    text = _inline(words) if program in _SHELLS else None
    if text is None:
        yield [program, *words[1:]]
        return
    try:
        lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=True)
        lexer.commenters = ""
        tokens = list(lexer)
    except ValueError:  # an open quote
        yield [program]
        return
    simple: list[str] = []
    for token in [*tokens, ";"]:
        if token and not set(token) <= set("();|&"):
            simple.append(token)
            continue
        yield from _simple(simple)
        simple = []


def _simple(words: list[str]) -> Iterator[list[str]]:
    while words and words[0] in _BEFORE_A_COMMAND:
        words = words[1:]
    words = list(_without_assignments(words))
    if not words or words[0] in _AFTER_A_COMMAND or words[0] == "for":
        return
    if words[0] in ("until", "while"):
        yield [words[0]]
        words = words[1:]
    if words:
        yield from _commands(words)


def _inline(words: Sequence[str]) -> str | None:
    """The text after `-c`, also as `-ec`; None for a script."""
    for index, word in enumerate(words[1:-1], start=1):
        if re.fullmatch(r"-[a-z]*c", word):
            return words[index + 1]
    return None


def _without_assignments(words: Sequence[str]) -> Sequence[str]:
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0], re.DOTALL):
        words = words[1:]
    return words
