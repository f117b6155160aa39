"""Smoke tests of a deployed stack. `python -m operations smoke` names it by these variables; otherwise none is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.smoke.live import Live

STACK: Final = os.environ.get("SMOKE_STACK")

collect_ignore_glob = [] if STACK else ["test_*.py"]


@pytest.fixture(scope="session")
def live() -> Live:
    """The stack."""
    from tests.smoke.live import Live  # noqa: PLC0415  # it loads the client of the API server

    file = os.environ.get("SMOKE_CONFIG_FILE")
    return Live(STACK or "", Path(file) if file else None, os.environ.get("SMOKE_URL"))
