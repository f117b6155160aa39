"""Hooks: how long a preStop hook takes, and which programs a hook starts."""

import re
import shlex
from collections.abc import Iterator, Sequence

from langfuse_policies.facts.fields import Field

GRACE_SECONDS = 30.0
"""Kubernetes' default of terminationGracePeriodSeconds (API reference, PodSpec v1 core)."""

_SHELLS = frozenset({"ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"})

_BEFORE_A_COMMAND = frozenset({"!", "(", "do", "elif", "else", "if", "then", "{"})
_AFTER_A_COMMAND = frozenset({"done", "esac", "fi", "}"})
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


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


def loops(words: Sequence[str]) -> bool:
    """Whether a command contains a loop that waits for a condition."""
    return any(command[0] in ("until", "while") for command in _commands(words))


def all_known(command: Field) -> bool:
    """Whether every word of a command is known."""
    return command.known and all(word.known for word in command)


def programs(words: Sequence[str]) -> Iterator[str]:
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
