"""Selects the interpreter of a program from the `virtualenv` and `toolchain` options of Pulumi.yaml.

The rules are those of the official host: sdk/python/toolchain/{toolchain,pip,uv}.go.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.probe import PROBES

PROBE_FILE: Final = Path(__file__).with_name("probe.py")
TYPECHECKERS: Final = ("mypy", "pyright")
PROBE_SECONDS: Final = 60


@dataclass(frozen=True)
class Toolchain:
    """The tools that run a program and install its packages.

    `virtualenv` is None if the program uses the interpreter on PATH.
    """

    name: str
    root: Path
    program: Path
    virtualenv: Path | None
    typechecker: str | None

    def python(self) -> Path:
        """Return the interpreter. Raises PluginError if it is missing."""
        if self.virtualenv is None:
            return ambient_python()
        interpreter = self.virtualenv / "bin" / "python"
        if not interpreter.is_file():
            raise self._missing(interpreter)
        return interpreter

    def probe(self, name: str) -> dict[str, Any]:
        """Run one of `PROBES` in the interpreter and return its result. Raises PluginError if that fails."""
        python = self.python()
        program = str(self.program)
        if python == Path(sys.executable):
            return PROBES[name](program)
        command = [str(python), str(PROBE_FILE), name, program]
        try:
            answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PROBE_SECONDS).stdout
            found: dict[str, Any] = json.loads(answer)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise PluginError(
                f"the program's interpreter {python} does not work ({type(error).__name__}); "
                f"recreate its virtual environment with `pulumi install`"
            ) from error
        return found

    def needs_virtualenv(self) -> bool:
        """Return whether the virtual environment must be created: it is missing or empty."""
        return self.virtualenv is not None and not (self.virtualenv.is_dir() and any(self.virtualenv.iterdir()))

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment `base` with the virtual environment activated."""
        if self.virtualenv is None:
            return dict(base)
        result = {key: value for key, value in base.items() if key != "PYTHONHOME"}
        result["VIRTUAL_ENV"] = str(self.virtualenv)
        result["PATH"] = os.pathsep.join(filter(None, [str(self.virtualenv / "bin"), base.get("PATH")]))
        return result

    def _missing(self, interpreter: Path) -> PluginError:
        if interpreter.is_symlink():
            what = f"is broken: {interpreter} points to {os.readlink(interpreter)}, which does not exist"
        elif self.virtualenv is not None and self.virtualenv.exists():
            what = "is not a virtual environment"
        else:
            what = "does not exist"
        return PluginError(
            f"the program's virtual environment {self.virtualenv} {what}; "
            f"remove it if it exists, then create it with `pulumi install` in {self.root}"
        )


def resolve(root: str, program: str, options: Mapping[str, object], *, is_plugin: bool = False) -> Toolchain:
    """Return the toolchain for the runtime options of a Pulumi.yaml, PulumiPolicy.yaml or PulumiPlugin.yaml.

    Raises PluginError for an option that is wrong or not supported.
    """
    name = _text(options, "toolchain") or "auto"
    virtualenv = _text(options, "virtualenv")
    typechecker = _text(options, "typechecker") or None
    if typechecker not in (None, *TYPECHECKERS):
        raise PluginError(f'runtime option typechecker: "{typechecker}" is not one of {", ".join(TYPECHECKERS)}')
    root_path, program_path = Path(root), Path(program)
    if name == "auto":
        if _search_up(program_path, "uv.lock"):
            name = "uv"
        elif _search_up(program_path, "poetry.lock"):
            name = "poetry"
        else:
            name = "pip"
    match name:
        case "pip":
            if is_plugin and not virtualenv:
                virtualenv = "venv"
            path = _joined(root_path, virtualenv) if virtualenv else None
        case "uv":
            path = _joined(root_path, virtualenv) if virtualenv else _uv_environment(program_path)
        case "poetry":
            raise PluginError(
                "the poetry toolchain is not supported by the stand-in language host; "
                "use toolchain pip or uv in Pulumi.yaml, or the official Pulumi distribution"
            )
        case _:
            raise PluginError(f'runtime option toolchain: "{name}" is not one of pip, uv, poetry')
    return Toolchain(name, root_path, program_path, path, typechecker)


def ambient_python() -> Path:
    """Return PULUMI_PYTHON_CMD, python3 or python from PATH. Raises PluginError if none exists."""
    configured = os.environ.get("PULUMI_PYTHON_CMD")
    candidates = [configured] if configured else ["python3", "python"]
    for candidate in candidates:
        if found := shutil.which(candidate):
            return Path(found)
    raise PluginError(
        f"found none of {', '.join(candidates)} on PATH; install Python or set `virtualenv` in Pulumi.yaml"
    )


def find_uv() -> Path:
    """Return the uv executable. Raises PluginError if it is not on PATH."""
    if found := shutil.which("uv"):
        return Path(found)
    raise PluginError("the uv toolchain needs `uv` on PATH; install it, or use toolchain pip in Pulumi.yaml")


def uv_project(directory: Path) -> Path | None:
    """Return the nearest folder, from this one upwards, that has a pyproject.toml."""
    return _search_up(directory, "pyproject.toml")


def _text(options: Mapping[str, object], key: str) -> str:
    value = options.get(key, "")
    if not isinstance(value, str):
        raise PluginError(f"runtime option {key}: must be a string, not {value!r}")
    return value


def _joined(folder: Path, path: str) -> Path:
    """Join paths as Go's filepath.Join does: without `..`, so that each environment has one path."""
    return Path(os.path.normpath(folder / path))


def _uv_environment(program: Path) -> Path:
    project = _search_up(program, "uv.lock") or _search_up(program, "pyproject.toml") or program
    return project / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")


def _search_up(directory: Path, name: str) -> Path | None:
    return next((folder for folder in (directory, *directory.parents) if (folder / name).exists()), None)
