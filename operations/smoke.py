"""Runs tests/smoke against a deployed stack."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from operations.errors import OperationError
from operations.pulumi import CHECKOUT, Pulumi

FOLDER: Final = "tests/smoke"

PASSED: Final = 0
FAILED: Final = 1
"""Exit codes of pytest. All others mean that no test was run, or not all of them."""


def missing() -> str | None:
    """What this machine lacks to run the tests; None if nothing."""
    if importlib.util.find_spec("testinfra") is None:
        return "the Python package pytest-testinfra: run `make development`"
    if shutil.which("kubectl") is None:
        return "kubectl on PATH: install it"
    return None


def run(
    pulumi: Pulumi,
    environment: Mapping[str, str],
    *,
    url: str | None = None,
    only: str | None = None,
    report: Path | None = None,
    output: TextIO | None = None,
) -> bool:
    """Run the tests, and print what failed.

    Args:
        pulumi: The stack.
        environment: The variables of the process.
        url: An address of web in place of the public one.
        only: An expression of pytest for the names of tests.
        report: Where to write a report in JUnit's XML.
        output: Where to print. Default: the standard output.

    Returns:
        Whether all tests passed.

    Raises:
        OperationError: The tests can't run.
    """
    if lack := missing():
        raise OperationError(f"smoke tests need {lack}")
    given = {**environment, "SMOKE_STACK": pulumi.stack}
    if pulumi.config_file:
        given["SMOKE_CONFIG_FILE"] = str(pulumi.config_file.resolve())
    if url:
        given["SMOKE_URL"] = url.rstrip("/")
    done = subprocess.run(_command(only, report), cwd=CHECKOUT, env=given, stdout=output, check=False)
    if done.returncode not in (PASSED, FAILED):
        raise OperationError(f"the smoke tests could not run: pytest exited with {done.returncode}")
    return done.returncode == PASSED


def _command(only: str | None, report: Path | None) -> Sequence[str]:
    # No configuration of the other tests, which start servers; and nothing is written into the checkout.
    words = [
        sys.executable,
        "-m",
        "pytest",
        FOLDER,
        f"--confcutdir={FOLDER}",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    words += ["--verbosity=1", "--no-header", "--timeout=300"]
    words += ["-k", only] if only else []
    return [*words, f"--junitxml={report.resolve()}"] if report else words
