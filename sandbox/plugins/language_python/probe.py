"""What only an interpreter itself can tell: of the host's own it is asked by a call, of another by running this file.

It needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

METADATA_FOLDERS: Final = (".dist-info", ".egg-info")
"""Distributions are told by the names of these folders: reading the metadata of all costs 1 ms each."""


def about(_program: str) -> dict[str, str]:
    """The interpreter, its version, and pip's."""
    try:
        pip = version("pip")
    except PackageNotFoundError:
        pip = "not installed"
    return {"executable": sys.executable, "version": platform.python_version(), "pip": pip}


def pulumi_packages(program: str) -> dict[str, dict[str, Any]]:
    """Version and pulumi-plugin.json of each Pulumi package that a program in this folder can import, by module."""
    importlib.invalidate_caches()
    found: dict[str, dict[str, Any]] = {}
    for module, release in _distributions([program, *sys.path]):
        if module not in found:
            plugin = _plugin(module, program)
            if plugin is not None or module.lower().startswith("pulumi_"):
                found[module] = {"version": release, "plugin": plugin}
    return found


QUESTIONS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    question.__name__: question for question in (about, pulumi_packages)
}


def _distributions(path: list[str]) -> Iterator[tuple[str, str]]:
    for entry in filter(os.path.isdir, path):
        for item in os.listdir(entry):
            stem, extension = os.path.splitext(item)
            if extension in METADATA_FOLDERS:
                name, _, release = stem.partition("-")
                yield name.replace("-", "_"), release.split("-")[0]


def _plugin(module: str, program: str) -> Any:  # noqa: ANN401  # JSON
    try:
        spec = importlib.util.find_spec(module) or PathFinder.find_spec(module, [program])
    except Exception:  # whatever a package's own finder raises
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = os.path.join(folder, "pulumi-plugin.json")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return json.load(file)
    return None


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder
    json.dump(QUESTIONS[sys.argv[1]](sys.argv[2]), sys.stdout)
