"""`python -m tools.langfuse_env CHECKOUT TAG` lists the environment variables that a Langfuse release reads.

CHECKOUT is a git clone of github.com/langfuse/langfuse, TAG a release such as v4.16.0. The command writes
`components/application/data/langfuse-env-<major>.json`, against which `extraEnv` and the program's own variables are
checked, and prints which names are new or gone. It reads these files at the tag, without their tests:

- the schemas of the environment: packages/shared/src/env.ts, web/src/env.mjs, worker/src/env.ts
- `process.env` in the sources of web, worker and the shared package
- the entrypoints of both images, and the scripts that they run
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).resolve().parents[1] / "components/application/data"

PROGRAMS: Final = ("web", "worker")

SCHEMAS: Final[Mapping[str, str]] = {
    "shared": "packages/shared/src/env.ts",
    "web": "web/src/env.mjs",
    "worker": "worker/src/env.ts",
}
SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "shared": ("packages/shared/src",),
    "web": ("web/src", "web/next.config.mjs"),
    "worker": ("worker/src",),
}
SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "shared": (),
    "web": ("web/entrypoint.sh", "packages/shared/clickhouse/scripts/up.sh"),
    "worker": ("worker/entrypoint.sh",),
}
TESTS: Final = tuple(
    f":(exclude,glob)**/{pattern}"
    for pattern in ("__tests__/**", "test-utils/**", "*.test.*", "*.servertest.*", "*.clienttest.*")
)

_SCHEMA_KEY: Final = re.compile(r"^ {2,4}([A-Z][A-Z0-9_]+):", re.MULTILINE)
_PROCESS_ENV: Final = re.compile(r"process\.env(?:\.|\[[\"'])([A-Z][A-Z0-9_]+)")
_SHELL_VARIABLE: Final = re.compile(r"\$\{?([A-Z][A-Z0-9_]+)")


class CheckoutError(Exception):
    """The checkout or the tag cannot be read."""


def main(arguments: list[str] | None = None) -> None:
    """Write the list of a release, and print what changed."""
    parser = argparse.ArgumentParser(prog="python -m tools.langfuse_env", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a git clone of github.com/langfuse/langfuse")
    parser.add_argument("tag", help="a release, for example v4.16.0")
    options = parser.parse_args(arguments)
    try:
        file, changes = write(options.checkout, options.tag)
    except CheckoutError as error:
        sys.exit(str(error))
    sys.stdout.write("\n  ".join([f"wrote {file}", *changes]) + "\n")


def write(checkout: Path, tag: str, folder: Path = DATA) -> tuple[Path, list[str]]:
    """Write the list of a release.

    Args:
        checkout: A git clone of Langfuse.
        tag: The release.
        folder: Where the lists are.

    Returns:
        The file, and a line for each name that was added or removed.

    Raises:
        CheckoutError: The tag does not exist, is no release, or has other files than expected.
    """
    version = tag.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise CheckoutError(f"{tag} is not the tag of a release; use one such as v4.16.0")
    names = {program: sorted(read(checkout, tag, program)) for program in PROGRAMS}
    file = folder / f"langfuse-env-{version.split('.')[0]}.json"
    old: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    newer = {program: sorted(set(old.get("newer", {}).get(program, [])) - set(names[program])) for program in PROGRAMS}
    found = {"version": version, **names, **({"newer": newer} if any(newer.values()) else {})}
    file.write_text(json.dumps(found, indent=1) + "\n")
    return file, [line for program in PROGRAMS for line in _changes(program, old.get(program, []), names[program])]


def _changes(program: str, old: list[str], new: list[str]) -> Iterator[str]:
    for name in sorted({*old} ^ {*new}):
        yield f"{program}: {'+' if name in new else '-'} {name}"


def read(checkout: Path, tag: str, program: str) -> set[str]:
    """The names that web or worker of a release reads.

    Raises:
        CheckoutError: The tag does not exist, or has other files than expected.
    """
    names: set[str] = set()
    for part in ("shared", program):
        names.update(_SCHEMA_KEY.findall(_show(checkout, tag, SCHEMAS[part])))
        names.update(_PROCESS_ENV.findall(_sources(checkout, tag, SOURCES[part])))
        for script in SCRIPTS[part]:
            names.update(_SHELL_VARIABLE.findall(_show(checkout, tag, script)))
    return names


def _show(checkout: Path, tag: str, path: str) -> str:
    result = _git(checkout, "show", f"{tag}:{path}")
    if result.returncode:
        raise CheckoutError(f"{checkout}: {result.stderr.strip()}; use a clone of Langfuse that has the tag {tag}")
    return result.stdout


def _sources(checkout: Path, tag: str, paths: tuple[str, ...]) -> str:
    """The lines with `process.env` in the sources, without their tests."""
    return _git(checkout, "grep", "--no-color", "-h", "-F", "process.env", tag, "--", *paths, *TESTS).stdout


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    git = shutil.which("git") or "git"
    return subprocess.run([git, "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
