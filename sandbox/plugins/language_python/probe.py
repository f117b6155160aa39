"""Describes a Python interpreter and its packages.

The language host calls these functions for its own interpreter and runs this file with any other. It needs nothing but
the standard library.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from typing import Any, Final

METADATA_FOLDERS: Final = (".dist-info", ".egg-info")
"""Names and versions are read from the names of these folders. To read the metadata takes 1 ms for each package, and to
import importlib.metadata a tenth of the CPU time in which a plugin starts: each command starts four or five plugins."""


def about(_program: str) -> dict[str, str]:
    """Return the interpreter's path, its version and the version of pip."""
    pip = next((release for name, release in distributions(sys.path) if name == "pip"), "not installed")
    return {"executable": sys.executable, "version": platform.python_version(), "pip": pip}


def pulumi_packages(program: str) -> dict[str, dict[str, Any]]:
    """Return version and pulumi-plugin.json of each Pulumi package that a program in a folder can import, by module."""
    importlib.invalidate_caches()
    found: dict[str, dict[str, Any]] = {}
    for module, release in distributions([program, *sys.path]):
        if module not in found:
            plugin = _plugin(module, program)
            if plugin is not None or module.lower().startswith("pulumi_"):
                found[module] = {"version": release, "plugin": plugin}
    return found


PROBES: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "about": about,
    "pulumi_packages": pulumi_packages,
}


def distributions(path: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name, with underscores, and version of each package that is installed in the folders of a path."""
    for entry in filter(os.path.isdir, path):
        for item in os.listdir(entry):
            stem, extension = os.path.splitext(item)
            if extension in METADATA_FOLDERS:
                name, _, release = stem.partition("-")
                yield name.replace("-", "_"), release.split("-")[0]


def _plugin(module: str, program: str) -> Any:  # noqa: ANN401  # JSON
    try:
        spec = importlib.util.find_spec(module) or PathFinder.find_spec(module, [program])
    except Exception:  # a package's own finder may raise anything
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = os.path.join(folder, "pulumi-plugin.json")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
    return None


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder
    json.dump(PROBES[sys.argv[1]](sys.argv[2]), sys.stdout)
