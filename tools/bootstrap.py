"""Creates the project's virtual environment. It is the first program to run on a machine and needs only Python.

    python3 tools/bootstrap.py requirements.txt

installs exactly the packages of the lock file into `.venv`. It does nothing if they are already installed.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"


def main(requirements: Path) -> None:
    """Install the locked requirements, or exit with one error."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        _fail(f"Python {found} is not supported, only 3.11 to 3.13", "choose another: make PYTHON=python3.12 ...")
    _install(requirements)
    for packages in VENV.glob("lib/python*/site-packages"):  # like an editable installation of policies/
        (packages / "langfuse_policies.pth").write_text(f"{CHECKOUT / 'policies'}\n")


def _install(requirements: Path) -> None:
    marker = _marker(requirements)
    if marker.exists() and marker.read_text() == _digest(requirements) and (VENV / "bin" / "python").exists():
        return
    sys.stderr.write(f"installing {requirements.name} into .venv (takes half a minute the first time) ...\n")
    if not (VENV / "bin" / "uv").exists():
        created = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False)
        if created.returncode:
            _fail("could not create a virtual environment", "on Debian and Ubuntu: apt install python3-venv")
        uv_lock = CHECKOUT / "requirements-uv.txt"
        if not _pip(uv_lock):
            _fail_installation(uv_lock)
    if not _uv(requirements) and not _pip(requirements):  # pip also reads pip.conf and all settings PIP_*
        _fail_installation(requirements)
    for lock in {requirements, CHECKOUT / "requirements.txt"}:  # every other lock file includes requirements.txt
        _marker(lock).write_text(_digest(lock))


def _uv(requirements: Path) -> bool:
    """Install packages with uv, whose cache has them unpacked: seconds instead of the minute of pip."""
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(VENV / "bin" / "python")]
    index = os.environ.get("PIP_INDEX_URL")
    environment = {**({"UV_DEFAULT_INDEX": index} if index else {}), **os.environ}
    locked = ["--no-deps", "--require-hashes", "-r", str(requirements)]
    return subprocess.run([*uv, *locked], env=environment, check=False).returncode == 0


def _pip(requirements: Path) -> bool:
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Most modules are never imported, so none is compiled before its first import.
    locked = ["--no-deps", "--no-compile", "--require-hashes", "-r", str(requirements)]
    return subprocess.run([*pip, *locked], check=False).returncode == 0


def _marker(requirements: Path) -> Path:
    """Return the file that records which version of a lock file is installed."""
    return VENV / f".{requirements.stem}.sha256"


def _digest(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def _fail_installation(requirements: Path) -> None:
    _fail(
        f"could not install {requirements.name}; see the output above",
        "check the network and the disk, set a mirror (PIP_INDEX_URL) or proxy (HTTPS_PROXY), and run it again",
    )


def _fail(problem: str, fix: str) -> None:
    sys.exit(f"error: {problem}\n  fix: {fix}")


if __name__ == "__main__":
    main(CHECKOUT / sys.argv[1])
