"""Reads what a child process prints, as it prints it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import IO, Final, Literal

from sandbox.plugins.language_python.children import Child

CHUNK_BYTES: Final = 65536
Stream = Literal["stdout", "stderr"]


def output_of(child: Child) -> Iterator[tuple[Stream, bytes]]:
    """Yield the child's output until both of its streams are closed."""
    if child.stdout is None or child.stderr is None:
        raise ValueError("its output is not piped")
    chunks: queue.Queue[tuple[Stream, bytes]] = queue.Queue()
    readers: list[tuple[Stream, IO[bytes]]] = [("stdout", child.stdout), ("stderr", child.stderr)]
    for name, stream in readers:
        threading.Thread(target=_read, args=[name, stream, chunks], daemon=True).start()
    closed = 0
    while closed < len(readers):
        name, chunk = chunks.get()
        if chunk:
            yield name, chunk
        else:
            closed += 1


def _read(name: Stream, stream: IO[bytes], chunks: queue.Queue[tuple[Stream, bytes]]) -> None:
    with stream:
        while chunk := os.read(stream.fileno(), CHUNK_BYTES):
            chunks.put((name, chunk))
    chunks.put((name, b""))
