"""Judges that are programs: installed once into the user's cache, by pinned version, and run."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path
from typing import Final

from sandbox import cache, golang, pins, toolchain
from sandbox.errors import SandboxError
from sandbox.progress import say

REQUIREMENTS: Final = Path(__file__).parent.parent.parent / "requirements-judges.txt"
KUBERNETES: Final = "1.36"
"""The newest Kubernetes release that both the sandbox and the schemas support."""

# Built, not downloaded: a build takes a minute and is verified by go.sum.
_KUBE_SCORE: Final = toolchain.Tool(
    "kube-score",
    "kube-score",
    "github.com/zegl/kube-score",
    "github.com/zegl/kube-score/cmd/kube-score",
    ("version",),
    r"version: ([\d.]+)",
    ("main.version={version}",),
)


def python_judges() -> Path:
    """The virtual environment of checkov and kubernetes-validate, which have a hundred dependencies."""
    folder = cache.root() / "tools" / f"judges-{pins.file_key(REQUIREMENTS)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with toolchain.locked():
        if not (folder / "complete").exists():
            say("installing checkov and kubernetes-validate (a minute the first time) ...")
            # Its scripts contain its path, so it is created in place. The marker file says that it is complete.
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            arguments = ["--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)]
            result = subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)
            if result.returncode:
                raise golang.explain("installing the judges", f"{result.stdout}\n{result.stderr}", folder)
            (folder / "complete").touch()
    return folder / "bin"


def checkov(file: Path) -> str:
    """The JSON report on a file of manifests."""
    # Without the flag it downloads guidelines.
    arguments = ["--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"]
    return _run([python_judges() / "checkov", "--file", file, *arguments])


def kube_score(file: Path) -> str:
    """The JSON report on a file of manifests."""
    executable = toolchain.ensure_tool(_KUBE_SCORE)
    return _run([executable, "score", "--kubernetes-version", f"v{KUBERNETES}", "--output-format", "json", file])


def kubernetes_validate(file: Path) -> str:
    """The report on a file of manifests, one line for each object."""
    return _run([python_judges() / "kubernetes-validate", "--strict", "-k", KUBERNETES, file])


def _run(command: list[str | Path]) -> str:
    """The output of a judge. Exit code 1 means findings; empty output is detected when it is parsed."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in {0, 1} or not result.stdout.strip():
        lines = result.stderr.strip().splitlines()[-3:]
        raise SandboxError(f"{Path(command[0]).name} could not judge: {' '.join(lines)}", "see its own message")
    return result.stdout
