"""Lists the programs that a POSIX script starts. Parses as much of the shell's grammar as our scripts use."""

import re
from collections.abc import Iterator

_NOT_PROGRAMS = {
    *("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "{", "}", "!"),
    *(":", "[", ".", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false", "printf"),
    *("local", "read", "readonly", "return", "set", "shift", "test", "trap", "true", "ulimit", "umask", "unset"),
    *("wait",),
}
"""Reserved words and builtins of every shell."""

_GO_ON = {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "exec", "command", "timeout"}
"""Words that are followed by a command."""

_TOKEN = re.compile(
    r"""(?P<comment>(?<![^\s;(])\#[^\n]*) | (?P<quoted>\\.|'[^']*'|\$\(\([^\n]*?\)\)) | (?P<text>") | (?P<output>\$\()
      | (?P<backtick>`[^`]*`) | (?P<separator>\n|;;|;|&&|\|\||(?<![<>])&(?!\d)|\||\(|\)) | (?P<space>[ \t]+)
      | (?P<word>[^\s;&|()'"`\\$]+|\$|&)""",
    re.VERBOSE | re.DOTALL,
)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?\n\s*\2(?=\n|$)", re.DOTALL)
_FUNCTION = re.compile(r"^(\w+)\(\) \{(?: #[^\n]*)?\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_PATTERN = re.compile(r"(\s*)\(?[^()\n]*\)")
"""The pattern of a case."""


def programs(script: str) -> set[str]:
    """The programs that a script starts: neither builtins nor its own functions."""
    text = _HEREDOC.sub(r"\3\n", script.replace("\\\n", " "))
    functions = dict(_FUNCTION.findall(text))
    # Functions that run their arguments, as in `quietly mc ls`.
    forwarding = {name for name, body in functions.items() if re.search(r'(^|[ (])"\$@"', body, re.MULTILINE)}
    found = set(_commands(text, _GO_ON | forwarding))
    return {name for name in found if re.fullmatch(r"[a-z][\w.-]*", name)} - _NOT_PROGRAMS - functions.keys()


def _commands(text: str, go_on: set[str]) -> Iterator[str]:
    """The words in command position."""
    position, expected, word, in_case = 0, True, "", False
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match, text[position : position + 40]
        kind, part, position = match.lastgroup, match[0], match.end()
        if kind == "text":
            end = _end(text, position, '"')
            yield from _quoted(text[position : end - 1], go_on)
            position = end
        elif kind == "output":
            end = _end(text, position, ")")
            yield from _commands(text[position : end - 1], go_on)
            position = end
        elif kind == "backtick":
            yield from _commands(part[1:-1], go_on)
        if kind not in {"separator", "space", "comment"}:
            word += part if kind == "word" else "$"
        if word and (kind in {"separator", "space"} or position >= len(text)):
            if expected:
                yield word
                expected = word in go_on or bool(re.match(r"[A-Za-z_]\w*=|-|\d+$", word))
            in_case = in_case or word == "case"
            if in_case and (word == "in" or part == ";;"):
                position = _after_pattern(text, position)
            in_case = in_case and word != "esac"
            word = ""
        elif in_case and part == ";;":
            position = _after_pattern(text, position)
        expected = expected or kind == "separator"


def _after_pattern(text: str, position: int) -> int:
    """The position after the pattern of the next case, if there is one."""
    match = _PATTERN.match(text, position)
    return match.end() if match and not text[position:].lstrip().startswith("esac") else position


def _quoted(text: str, go_on: set[str]) -> Iterator[str]:
    """The commands in a double-quoted text."""
    position = 0
    while (start := text.find("$(", position)) >= 0:
        position = _end(text, start + 2, ")")
        if not text.startswith("$((", start):
            yield from _commands(text[start + 2 : position - 1], go_on)


def _end(text: str, position: int, closing: str) -> int:
    """The position after the closing bracket or quote."""
    while text[position] != closing:
        if text[position] == "\\":
            position += 1
        elif text[position] == "'" and closing == ")":
            position = text.index("'", position + 1)
        elif text[position] == '"':
            position = _end(text, position + 1, '"') - 1
        elif text.startswith("$(", position):
            position = _end(text, position + 2, ")") - 1
        elif text[position] == "(" and closing == ")":
            position = _end(text, position + 1, ")") - 1
        position += 1
    return position + 1
