"""The commands that pages of the documentation quote."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tools.docs.generated import ROOT

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/examples/gitlab-ci.yml"),
    *(ROOT / "docs").rglob("*.md"),
]

PLACEHOLDERS = {"N": "1", "FILE...": "README.md"}
"""Values of arguments whose form is checked."""

FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Quoted:
    """A command of a page."""

    page: str
    words: tuple[str, ...]
    """The words after the name of the program."""
    whole: bool
    """Whether it stands in a block, to be copied. Otherwise a sentence may leave options out."""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def quoted(program: str) -> list[Quoted]:
    """The commands with a program, for example `python -m operations`. Alternatives such as `now|list` are several."""
    return [
        Quoted(str(page.relative_to(ROOT)), words, whole)
        for page in PAGES
        for line, whole in _lines(page.read_text(), code=page.suffix == ".yml")
        for text in re.findall(rf"(?<![\w.-]){re.escape(program)}((?:\s.*)?)$", line)
        for words in _alternatives(_words(text))
    ]


def _lines(text: str, *, code: bool) -> Iterator[tuple[str, bool]]:
    """The lines of blocks without comments, and the spans of sentences; and whether a line is one of a block."""
    for part in [text] if code else FENCE.split(text):
        if code or FENCE.match(part):
            for line in part.replace("\\\n", " ").splitlines():
                yield re.sub(r"(^|\s)#\s.*", "", line), True
        else:
            for span in SPAN.findall(part):
                yield " ".join(span.split()), False


def _words(text: str) -> list[str]:
    """The words of one command: without those that follow it, and without the end of `$(...)`."""
    alone = re.split(r"\s(?:\|\|?|&&|;|2?>>?)\s", text)[0]
    return shlex.split(re.sub(r'\)"$', "", alone.strip()))


def _alternatives(words: list[str]) -> Iterator[tuple[str, ...]]:
    options = [[PLACEHOLDERS.get(value, _plain(value)) for value in word.split("|")] for word in words]
    for index in range(max((len(one) for one in options), default=1)):
        yield tuple(one[min(index, len(one) - 1)] for one in options)


def _plain(word: str) -> str:
    """A value instead of a variable of the shell."""
    return re.sub(r"\$\{?\w+\}?", "1", word)
