"""Which programs a POSIX script starts: enough of a shell's grammar for the scripts of this project."""

import re
from collections.abc import Iterator

_NOT_PROGRAMS = {
    *("if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "{", "}", "!"),
    *(":", "[", ".", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false", "printf"),
    *("local", "read", "readonly", "return", "set", "shift", "test", "trap", "true", "ulimit", "umask", "unset"),
    *("wait",),
}
"""Reserved words, and what every shell has built in."""

_GO_ON = {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "exec", "command", "timeout"}
"""Words after which comes a command."""

_TOKEN = re.compile(
    r"""(?P<comment>(?<![^\s;(])\#[^\n]*) | (?P<quoted>\\.|'[^']*'|\$\(\([^\n]*?\)\)) | (?P<text>") | (?P<output>\$\()
      | (?P<backtick>`[^`]*`) | (?P<separator>\n|;;|;|&&|\|\||(?<![<>])&(?!\d)|\||\(|\)) | (?P<space>[ \t]+)
      | (?P<word>[^\s;&|()'"`\\$]+|\$|&)""",
    re.VERBOSE | re.DOTALL,
)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?\n\s*\2(?=\n|$)", re.DOTALL)
_FUNCTION = re.compile(r"^(\w+)\(\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_PATTERN = re.compile(r"(\s*)\(?[^()\n]*\)")
"""What a case begins with."""


def programs(script: str) -> set[str]:
    """Everything that the script starts and that is neither built into the shell nor a function of its own."""
    text = _HEREDOC.sub(r"\3\n", script.replace("\\\n", " "))
    functions = dict(_FUNCTION.findall(text))
    # What runs its arguments, as `quietly mc ls` does.
    forwarding = {name for name, body in functions.items() if re.search(r'(^|[ (])"\$@"', body, re.MULTILINE)}
    found = set(_commands(text, _GO_ON | forwarding))
    return {name for name in found if re.fullmatch(r"[a-z][\w.-]*", name)} - _NOT_PROGRAMS - functions.keys()


def _commands(text: str, go_on: set[str]) -> Iterator[str]:
    """The words at which a command is expected."""
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
    """The place behind the pattern of the next case, if there is one."""
    match = _PATTERN.match(text, position)
    return match.end() if match and not text[position:].lstrip().startswith("esac") else position


def _quoted(text: str, go_on: set[str]) -> Iterator[str]:
    """The commands whose output stands in a double-quoted text."""
    position = 0
    while (start := text.find("$(", position)) >= 0:
        position = _end(text, start + 2, ")")
        if not text.startswith("$((", start):
            yield from _commands(text[start + 2 : position - 1], go_on)


def _end(text: str, position: int, closing: str) -> int:
    """The place behind the bracket or quote that closes one that opened before."""
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
