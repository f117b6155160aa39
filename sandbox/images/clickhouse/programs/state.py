"""What a replica knows about its tables, in a file of the volume."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sandbox.images.clickhouse.programs import log


@dataclass
class State:
    """Which statements the tables of this replica contain."""

    origin: str
    vector: log.Vector = field(default_factory=dict)
    tables: dict[str, log.Vector] = field(default_factory=dict)
    """For each table, which statements it contains although `vector` does not."""
    pending: list[str] = field(default_factory=list)
    """Tables whose rows are still to be copied."""

    @classmethod
    def read(cls, file: Path) -> State | None:
        """Read the file, or None if there is none, on an empty volume."""
        return cls(**json.loads(file.read_text())) if file.exists() else None

    @classmethod
    def new(cls, replica: str) -> State:
        """The state of an empty volume."""
        return cls(f"{replica}/{uuid.uuid4().hex[:12]}")

    def write(self, file: Path) -> None:
        """Write the file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".tmp")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(file)

    def has_run(self, entry: log.Entry) -> bool:
        """Whether the effect of a statement is here."""
        return log.covers(self.vector, entry) or log.covers(self.tables.get(entry.table, {}), entry)

    def content(self, table: str) -> log.Vector:
        """Which statements a table contains."""
        return log.merged(self.vector, self.tables.get(table, {}))

    def copied(self, table: str, contained: Mapping[str, int], tables: Iterable[str]) -> None:
        """Record that the rows of a table were copied, with the statements that they contain.

        While the table was not here, its statements were left out. Those that the copy does not contain must be fetched
        again, so the vector goes back. The other tables have them.
        """
        before, own = self.vector, {self.origin: self.vector.get(self.origin, 0)}
        self.pending.remove(table)
        for other in tables:
            self.tables[other] = log.merged(self.tables.get(other, {}), before)
        self.tables[table] = log.merged(contained, own)
        self.vector = log.merged(log.lowest(before, contained), own)
