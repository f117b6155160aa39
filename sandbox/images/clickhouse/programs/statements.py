"""Finds in a statement what the engine can't do by itself, and rewrites it.

Statements are texts in Latin-1, which keeps every byte: the data of an INSERT can be binary. Only the statement itself
is read, never the data.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sandbox.images.clickhouse.programs.configuration import DATABASE, REPLICATED_MARK
from sandbox.images.clickhouse.programs.errors import BAD_ARGUMENTS, StatementError

DEDUPLICATION_BLOCKS = 10_000
"""The default of replicated_deduplication_window (clickhouse.com/docs/operations/settings/merge-tree-settings)."""

WRITES = frozenset({"INSERT", "ALTER", "DELETE", "UPDATE", "TRUNCATE"})
"""Statements that a replicated table passes on to its other replicas."""

DEFINITIONS = frozenset({"CREATE", "DROP", "RENAME", "EXCHANGE", "ATTACH", "DETACH", "UNDROP", "RESTORE"})
"""Statements that change which tables exist."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|\#!?[^\n]*|/\*.*?\*/)
    |(?P<heredoc>(?P<tag>\$\w*\$).*?(?P=tag))
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BEFORE_TABLE = frozenset(
    {
        *("INTO", "TABLE", "TABLES", "VIEW", "MATERIALIZED", "TEMPORARY", "DICTIONARY", "DATABASE", "FUNCTION"),
        *("IF", "NOT", "EXISTS", "OR", "REPLACE", "FROM"),
    }
)
_REPLICATED = re.compile(r"Replicated(\w*MergeTree)")


@dataclass(frozen=True)
class Token:
    """A token that is neither space nor comment."""

    kind: str
    text: str
    start: int
    end: int
    depth: int
    """The number of open parentheses."""

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these keywords. They are in capitals."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """The value of an identifier or a string."""
        if self.kind in {"quoted", "string"}:
            return re.sub(r"\\(.)", r"\1", self.text[1:-1].replace(self.text[0] * 2, self.text[0]), flags=re.DOTALL)
        return self.text


@dataclass(frozen=True)
class Table:
    """A table by its database and name."""

    database: str
    name: str

    @property
    def key(self) -> str:
        """The name with its database."""
        return f"{self.database}.{self.name}"

    @property
    def sql(self) -> str:
        """The name as SQL."""
        return ".".join(f"`{part}`".replace("\\", "\\\\") for part in (self.database, self.name))


@dataclass(frozen=True)
class Statement:
    """One statement with its data."""

    text: str

    @cached_property
    def tokens(self) -> list[Token]:
        """The tokens of the statement, without the data of an INSERT."""
        tokens: list[Token] = []
        for token in _tokens(self.text):
            if token.depth == 0 and token.text == ";" and token.kind == "sign":
                break
            tokens.append(token)
            if tokens[0].is_word("INSERT") and token.depth == 0:
                if token.is_word("VALUES"):
                    break
                if len(tokens) > 1 and tokens[-2].is_word("FORMAT") and tokens[-2].depth == 0:
                    break
        return tokens

    @property
    def verb(self) -> str:
        """The first word, in capitals."""
        return self.tokens[0].text.upper() if self.tokens else ""

    @cached_property
    def has_data(self) -> bool:
        """Whether data follows the statement."""
        return self.verb == "INSERT" and (
            self.tokens[-1].is_word("VALUES") or (len(self.tokens) > 1 and self.tokens[-2].is_word("FORMAT"))
        )

    def table(self, database: str = DATABASE) -> Table | None:
        """The table that the statement changes. `database` is that of a name without one."""
        if self.verb not in WRITES | DEFINITIONS | {"OPTIMIZE"} or self.words("INSERT", "INTO", "FUNCTION"):
            return None
        return self.table_at(self._name_index, database)

    @property
    def _name_index(self) -> int:
        index = 1
        while index < len(self.tokens) and self.tokens[index].is_word(*_BEFORE_TABLE):
            index += 1
        return index

    def table_at(self, index: int, database: str) -> Table | None:
        """The table whose name begins with a token. `database` is that of a name without one."""
        name, *rest = [*self.tokens[index : index + 3], None, None, None][:3]
        if name is None or name.kind not in {"word", "quoted"}:
            return None
        if rest[1] is not None and rest[0] is not None and rest[0].text == ".":
            return Table(name.name, rest[1].name)
        return Table(database, name.name)

    def words(self, *words: str) -> bool:
        """Whether the statement begins with these keywords."""
        return len(self.tokens) >= len(words) and all(
            token.is_word(word) for token, word in zip(self.tokens, words, strict=False)
        )

    @cached_property
    def format(self) -> str | None:
        """The format that the FORMAT clause names."""
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.is_word("FORMAT") and before.depth == 0 and token.kind == "word":
                return token.text
        return None

    @cached_property
    def cluster(self) -> tuple[int, int] | None:
        """Where `ON CLUSTER name` stands."""
        for index, token in enumerate(self.tokens[:-2]):
            if token.depth == 0 and token.is_word("ON") and self.tokens[index + 1].is_word("CLUSTER"):
                last = self.tokens[index + 2]
                if last.text == "{":  # a macro
                    last = self.tokens[min(index + 4, len(self.tokens) - 1)]
                return token.start, last.end
        return None

    def without_cluster(self) -> Statement:
        """The statement without ON CLUSTER."""
        if self.cluster is None:
            return self
        start, end = self.cluster
        return Statement(self.text[:start] + self.text[end:].lstrip(" "))

    @cached_property
    def engine(self) -> int | None:
        """The index of the token with the table engine of a CREATE or ATTACH."""
        if self.verb not in {"CREATE", "ATTACH"}:
            return None
        for index, token in enumerate(self.tokens[:-1]):
            if token.depth == 0 and token.is_word("ENGINE"):
                return index + (2 if self.tokens[index + 1].text == "=" else 1)
        return None

    @cached_property
    def uuid(self) -> str | None:
        """The UUID that a CREATE gives to its table."""
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.depth == 0 and before.is_word("UUID") and token.kind == "string":
                return token.name
        return None

    @cached_property
    def creates_replicated_table(self) -> bool:
        """Whether this is a CREATE of a replicated table: of that engine, or with the mark of one."""
        if self.engine is None or self.engine >= len(self.tokens):
            return False
        replicated = _REPLICATED.fullmatch(self.tokens[self.engine].text)
        return bool(replicated) or any(token.text == REPLICATED_MARK for token in self.tokens[self.engine :])

    def with_uuid(self) -> Statement:
        """A CREATE of a replicated table that gives the table a UUID, so that it has the same on all replicas."""
        if self.uuid is not None or not self.creates_replicated_table:
            return self
        index = self._name_index
        if self.tokens[index + 1].text == ".":
            index += 2
        end = self.tokens[index].end
        return Statement(f"{self.text[:end]} UUID '{uuid.uuid4()}'{self.text[end:]}")

    def for_one_engine(self) -> Statement:
        """A CREATE whose table has the engine of the same name that is not replicated, and the mark."""
        index = self.engine
        found = _REPLICATED.fullmatch(self.tokens[index].text) if index is not None else None
        if index is None or found is None:
            return self
        name = self.tokens[index]
        rest = name.end
        arguments = self.tokens[index + 1 : index + 5]
        if [token.kind for token in arguments[1:2] + arguments[3:4]] == ["string", "string"]:  # the path and the name
            after = self.tokens[index + 5]
            rest = after.end if after.text == "," else after.start
            return self._marked(f"{self.text[: name.start]}{found[1]}(", rest, index + 5)
        return self._marked(self.text[: name.start] + found[1], rest, index + 1)

    def _marked(self, start: str, rest: int, after: int) -> Statement:
        setting = f"{REPLICATED_MARK} = {DEDUPLICATION_BLOCKS}"
        for token in self.tokens[after:]:
            if token.depth == 0 and token.is_word("SETTINGS"):
                return Statement(f"{start}{self.text[rest : token.end]} {setting},{self.text[token.end :]}")
            if token.depth == 0 and token.is_word("COMMENT", "AS"):
                return Statement(f"{start}{self.text[rest : token.start]}SETTINGS {setting} {self.text[token.start :]}")
        end = max(self.tokens[-1].end, rest)
        return Statement(f"{start}{self.text[rest:end]} SETTINGS {setting}{self.text[end:]}")


def split(text: str) -> list[Statement]:
    """The statements of a text. Data of an INSERT extends to the end of the text."""
    statements: list[Statement] = []
    while text.strip():
        statement = Statement(text)
        if not statement.tokens:
            if not text.lstrip().startswith(";"):
                break  # a comment
            text = text.lstrip()[1:]
            continue
        end = len(text) if statement.has_data else statement.tokens[-1].end
        statements.append(Statement(text[:end]))
        text = text[end:].lstrip()
        text = text.removeprefix(";")
    return statements


def single(text: str) -> Statement:
    """The only statement of a text.

    Raises:
        StatementError: If there are several. The HTTP interface allows one.
    """
    statements = split(text)
    if len(statements) != 1:
        raise StatementError.of(62, "Multi-statements are not allowed" if statements else "Empty query", "SYNTAX_ERROR")
    return statements[0]


def check_uuid(statement: Statement) -> None:
    """Refuse a replicated table without a UUID, which is part of its path in Keeper (`default_replica_path`)."""
    if statement.creates_replicated_table and statement.uuid is None:
        message = (
            "Macro 'uuid' in engine arguments is only supported when the UUID is explicitly specified, used within an "
            "ON CLUSTER query, or when using the Replicated database engine."
        )
        raise StatementError.of(BAD_ARGUMENTS, message, "BAD_ARGUMENTS")


def _tokens(text: str) -> Iterator[Token]:
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup or "sign", match.group()
        if kind == "tag":
            kind = "heredoc"
        if kind == "space":
            continue
        if found in {"(", "["} and kind == "sign":
            yield Token(kind, found, match.start(), match.end(), depth)
            depth += 1
            continue
        if found in {")", "]"} and kind == "sign":
            depth = max(0, depth - 1)
        yield Token(kind, found, match.start(), match.end(), depth)
