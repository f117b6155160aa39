"""Virtual environments of programs that have too many dependencies for the environment of the tests."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from sandbox import cache, golang, pins, toolchain
from sandbox.progress import say


def python_environment(name: str, requirements: Path, contents: str) -> Path:
    """The folder with the executables of an environment, which is installed once into the user's cache.

    Args:
        name: Its name in the cache.
        requirements: A file of locked requirements with hashes. It is a part of the key.
        contents: What is installed, for messages.

    Raises:
        SandboxError: pip failed.
    """
    folder = cache.root() / "tools" / f"{name}-{pins.file_key(requirements)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with toolchain.locked():
        if not (folder / "complete").exists():
            say(f"installing {contents} (a minute the first time) ...")
            # Its scripts contain its path, so it is created in place. The marker file says that it is complete.
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            arguments = ["--no-deps", "--require-hashes", "--requirement", str(requirements)]
            result = subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)
            if result.returncode:
                raise golang.explain(f"installing {contents}", f"{result.stdout}\n{result.stderr}", folder)
            (folder / "complete").touch()
    return folder / "bin"
