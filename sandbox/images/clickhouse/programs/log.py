"""The statements that other replicas still need, on the volume.

Every replica keeps each statement that it has run, its own and those of others, in the order in which it ran them,
until all replicas have run it. So a replica can get every statement from any other, and after those that it builds on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

Vector = dict[str, int]
"""For each origin, the number of its last statement that a replica has run."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One statement."""

    origin: str
    """The replica that a client sent it to, and the life of its volume: `name/uuid`."""
    number: int
    """Counts the statements of the origin from 1."""
    created: float
    """Seconds since 1970."""
    table: str
    """The table that it changes, or nothing."""
    definition: bool
    """Whether it was sent with ON CLUSTER."""
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    text: str = field(repr=False)
    """In Latin-1."""

    def encode(self) -> bytes:
        """The fields as JSON on a line with the number of bytes of the text, then the text."""
        header = {name: value for name, value in asdict(self).items() if name != "text"}
        return json.dumps({**header, "bytes": len(self.text)}).encode() + b"\n" + self.text.encode("latin-1")

    @classmethod
    def read(cls, file: BinaryIO) -> Entry | None:
        """Read an entry, or None at the end of the file."""
        line = file.readline()
        if not line:
            return None
        header = json.loads(line)
        size = header.pop("bytes")
        text = file.read(size)
        if len(text) < size:
            raise EOFError("the connection was closed within a statement")
        return cls(**header, text=text.decode("latin-1"))


def covers(vector: Mapping[str, int], entry: Entry) -> bool:
    """Whether a replica with this vector has run a statement."""
    return vector.get(entry.origin, 0) >= entry.number


def merged(*vectors: Mapping[str, int]) -> Vector:
    """The larger number of each origin."""
    result: Vector = {}
    for vector in vectors:
        for origin, number in vector.items():
            result[origin] = max(number, result.get(origin, 0))
    return result


def lowest(first: Mapping[str, int], second: Mapping[str, int]) -> Vector:
    """The smaller number of each origin."""
    return {origin: min(first.get(origin, 0), second.get(origin, 0)) for origin in {*first, *second}}


class Log:
    """The statements in a folder: one file each, named by its place in the order."""

    def __init__(self, folder: Path) -> None:
        """Read the files."""
        self._folder = folder
        self._changed = threading.Condition()
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("*.tmp"):  # of a killed server
            partial.unlink()
        self._headers: dict[Path, Entry] = {}
        for file in sorted(folder.iterdir()):
            with file.open("rb") as handle:
                entry = Entry.read(handle)
            if entry is not None:
                self._headers[file] = _without_text(entry)
        self._next = max((int(file.name) for file in self._headers), default=0) + 1

    @property
    def vector(self) -> Vector:
        """The newest number of each origin that the folder has."""
        with self._changed:
            return merged(*({entry.origin: entry.number} for entry in self._headers.values()))

    def append(self, entry: Entry) -> None:
        """Add a statement."""
        with self._changed:
            file = self._folder / f"{self._next:012}"
            partial = file.with_suffix(".tmp")
            partial.write_bytes(entry.encode())
            partial.rename(file)
            self._headers[file] = _without_text(entry)
            self._next += 1
            self._changed.notify_all()

    def missing(self, vector: Mapping[str, int], *, wait_seconds: float) -> Sequence[Path]:
        """The files of the statements that a replica with this vector has not run. Waits for one if there is none."""
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                found = [file for file, entry in self._headers.items() if not covers(vector, entry)]
                remaining = deadline - time.monotonic()
                if found or remaining <= 0:
                    return found
                self._changed.wait(remaining)

    def trim(self, vectors: Sequence[Mapping[str, int]]) -> None:
        """Forget the statements that replicas with these vectors have all run."""
        with self._changed:
            for file, entry in list(self._headers.items()):
                if all(covers(vector, entry) for vector in vectors):
                    del self._headers[file]
                    file.unlink(missing_ok=True)


def read_all(file: BinaryIO) -> Iterator[Entry]:
    """The entries of a response."""
    while (entry := Entry.read(file)) is not None:
        yield entry


def _without_text(entry: Entry) -> Entry:
    return Entry(**{**asdict(entry), "text": ""})
