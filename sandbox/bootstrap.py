"""Makes the project's virtual environment: the first thing that runs on a machine, with nothing but Python.

    python3 sandbox/bootstrap.py requirements.txt

installs exactly what the lock file names into `.venv`, or does nothing when that is already so.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"


def main(requirements: Path) -> None:
    """Install the locked requirements; end with one message if that can't be done."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        _fail(f"Python {found} is not supported: 3.11 to 3.13 are", "name one: make PYTHON=python3.12 ...")
    _install(requirements)
    for packages in VENV.glob("lib/python*/site-packages"):  # as an editable installation of policies/ would
        (packages / "langfuse_policies.pth").write_text(f"{CHECKOUT / 'policies'}\n")


def _install(requirements: Path) -> None:
    done = _mark(requirements)
    if done.exists() and done.read_text() == _digest(requirements) and (VENV / "bin" / "python").exists():
        return
    sys.stderr.write(f"installing {requirements.name} into .venv (about a minute the first time) ...\n")
    if not (VENV / "bin" / "pip").exists():
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False)
        if made.returncode:
            _fail("could not make a virtual environment", "Debian and Ubuntu: apt install python3-venv")
        _pip(CHECKOUT / "requirements-pip.txt")  # the one that Python brings takes half as long again
    _pip(requirements)
    for lock in {requirements, CHECKOUT / "requirements.txt"}:  # each of the other locks holds all of this one
        _mark(lock).write_text(_digest(lock))


def _pip(requirements: Path) -> None:
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Most modules are never imported; those that are get compiled then.
    locked = ["--no-deps", "--no-compile", "--require-hashes", "-r", str(requirements)]
    if subprocess.run([*pip, *locked], check=False).returncode:
        _fail(
            f"could not install {requirements.name}; pip's reason stands above",
            "check the network and the disk, set a mirror (PIP_INDEX_URL) or proxy (HTTPS_PROXY), and run it again",
        )


def _mark(requirements: Path) -> Path:
    """Where it stands which version of a lock file is installed."""
    return VENV / f".{requirements.stem}.sha256"


def _digest(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def _fail(problem: str, fix: str) -> None:
    sys.exit(f"error: {problem}\n  fix: {fix}")


if __name__ == "__main__":
    main(CHECKOUT / sys.argv[1])
