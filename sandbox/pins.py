"""The pinned versions of all tools, from the go.mod files in `sandbox/tools/`."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from datetime import datetime
from functools import cache
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"
GO_REQUIREMENTS = TOOLS / "go-requirements.txt"  # pins the Go toolchain for machines without Go

_REQUIRE = re.compile(r"^\s*(?:require\s+)?([\w./~-]+\.[\w./~-]+)\s+(v\d[\w.+-]*)", re.MULTILINE)
_GO_LINE = re.compile(r"^go\s+(\d+)\.(\d+)", re.MULTILINE)
_PSEUDO_VERSION = re.compile(r"-(?:0\.)?(\d{14})-([0-9a-f]{12})$")

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@cache
def module_version(folder: str, module: str) -> str:
    """The version that `tools/<folder>/go.mod` requires of a module, such as `v1.36.3`."""
    versions: dict[str, str] = dict(_REQUIRE.findall((TOOLS / folder / "go.mod").read_text()))
    return versions[module]


def commit_of(version: str) -> tuple[datetime, str] | None:
    """(time, first 12 digits) of the commit that a Go pseudo-version names; None for a tagged version."""
    match = _PSEUDO_VERSION.search(version)
    return (datetime.strptime(f"{match[1]}Z", "%Y%m%d%H%M%S%z"), match[2]) if match else None


@cache
def minimum_go() -> tuple[int, int]:
    """The oldest Go, as (major, minor), that can build every tool."""
    lines = (_GO_LINE.search(file.read_text()) for file in TOOLS.glob("*/go.mod"))
    return max((int(line[1]), int(line[2])) for line in lines if line)


def platform_name() -> tuple[str, str]:
    """(system, architecture) of this machine by their Go names, such as `("linux", "amd64")`."""
    machine = platform.machine().lower()
    return sys.platform, _ARCHITECTURES.get(machine, machine)


def key(folder: str, *more: str) -> str:
    """A short hash of the pins and sources of a module folder, the platform and `more` inputs of a build."""
    digest = hashlib.sha256()
    for part in (
        (TOOLS / folder / "go.mod").read_bytes(),
        (TOOLS / folder / "go.sum").read_bytes(),
        *(file.read_bytes() for file in sorted((TOOLS / folder).glob("*.go"))),
        *(word.encode() for word in (*platform_name(), *more)),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def file_key(file: Path) -> str:
    """A short hash of a file of pins and the platform."""
    return hashlib.sha256(file.read_bytes() + repr(platform_name()).encode()).hexdigest()[:12]
