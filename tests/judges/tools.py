"""Judges that are programs: installed once into the user's cache, by pinned version, and run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from sandbox import toolchain
from sandbox.errors import SandboxError
from tests.python_environments import python_environment

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
    return python_environment("judges", REQUIREMENTS, "checkov and kubernetes-validate")


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
