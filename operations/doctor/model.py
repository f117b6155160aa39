"""Checks and their results."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

Area = Literal["machine", "cluster", "stack", "route"]

Outcome = Literal["ok", "warning", "failed", "skipped"]
"""`skipped`: it could not be checked, for want of a permission or of what it needs."""


class Line(BaseModel):
    """The result of a check: one line of the table."""

    area: Area
    check: str
    outcome: Outcome
    detail: str
    fix: str = ""
    """What to do: a key of the stack file, or a command."""


@dataclass(frozen=True)
class Check:
    """What is checked, and its possible results."""

    area: Area
    name: str

    def ok(self, detail: str) -> Line:
        """Nothing is to be done."""
        return self._line("ok", detail, "")

    def warning(self, detail: str, fix: str) -> Line:
        """The stack can be deployed all the same."""
        return self._line("warning", detail, fix)

    def failed(self, detail: str, fix: str) -> Line:
        """An update would fail, or what it deploys would not work."""
        return self._line("failed", detail, fix)

    def skipped(self, detail: str) -> Line:
        """It could not be checked."""
        return self._line("skipped", detail, "")

    def _line(self, outcome: Outcome, detail: str, fix: str) -> Line:
        return Line(area=self.area, check=self.name, outcome=outcome, detail=detail, fix=fix)
