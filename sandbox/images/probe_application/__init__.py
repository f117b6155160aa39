"""The images of web and worker: the probe application, a test load that takes the place of Langfuse's images.

It is not Langfuse. It reads the variables, uses the stores and answers the probes as Langfuse does, with the client
libraries that Langfuse uses (`app/package.json`). Tests send events to it and read them back. `load/load.js` in the
image does both.

The image has the layout of Langfuse's (web/Dockerfile and worker/Dockerfile): `/app`, dumb-init, an entrypoint that
migrates, and busybox as `/bin/sh`. Unlike bash, busybox runs the last command of the image's command in place of the
shell, so that the shell does not end the server when it gets SIGTERM.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sandbox import cache
from sandbox.errors import SandboxError
from sandbox.images import debian
from sandbox.images.oci import Contents, ImageConfig
from sandbox.images.recipe import File, Layer, Recipe, files, short_hash
from sandbox.progress import say

WEB_REPOSITORY = "docker.io/langfuse/langfuse"
WORKER_REPOSITORY = "docker.io/langfuse/langfuse-worker"

APP = Path(__file__).parent / "app"
"""The source of the application: what the image has in `/app`."""

USER = "1001:1001"
"""uid:gid of web and worker (web/Dockerfile, worker/Dockerfile)."""

_LOCK = ("package.json", "package-lock.json")

_NPM = ("ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")

_UNUSED = (
    *("dist-es", "dist-types", "dist.browser", "esm", "*.md", "*.map", "*.d.ts", "*.d.cts", "*.d.mts"),
    *("*.browser.js", "*.native.js", "*.min.js"),
)
"""Names of files and folders that Node does not load: sources for browsers and type checkers. More than half."""


def web(tag: str) -> Recipe:
    """The image of web. `tag` is the version that its health path answers."""
    return _recipe(
        "web",
        tag,
        port=3000,
        # Langfuse's command has this form (web/Dockerfile). Its condition is about Langfuse Cloud.
        command=(
            "/bin/sh",
            "-c",
            'if [ -n "$NEXT_PUBLIC_LANGFUSE_CLOUD_REGION" ]; then exit 1; '
            "else node ./web/server.js --keepAliveTimeout 110000; fi",
        ),
    )


def worker(tag: str) -> Recipe:
    """The image of worker. `tag` is the version that it logs."""
    return _recipe("worker", tag, port=3030, command=("node", "worker/index.js"))


def _recipe(program: str, tag: str, *, port: int, command: tuple[str, ...]) -> Recipe:
    node = debian.packages("node", "nodejs", "dumb-init", "busybox", after="ln -sf busybox /usr/bin/sh")
    return Recipe(
        layers=(debian.base(), node, _packages_layer(), files("probe-application", *sources())),
        config=ImageConfig(
            user=USER,
            environment={
                # Of 2027: Debian trixie has Node.js 20.
                "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
                "NEXT_MANUAL_SIG_HANDLE": "true",
                "NODE_ENV": "production",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "PORT": str(port),
                "PROBE_VERSION": tag,
            },
            entrypoint=("dumb-init", "--", f"./{program}/entrypoint.sh"),
            command=command,
            working_directory="/app",
            exposed_ports=(port,),
        ),
    )


def sources() -> Iterator[File]:
    """The files of the application."""
    for path in sorted(APP.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.name == "entrypoint.sh" else 0o644
            yield File(f"/app/{path.relative_to(APP)}", path, mode)


def _packages_layer() -> Layer:
    def fill(contents: Contents, _: Path) -> None:
        contents.tree(node_modules(), "/app/node_modules", owner=(0, 0))

    return Layer(name="probe-application-packages", inputs=(_packages_key(),), fill=fill)


def _packages_key() -> str:
    return short_hash(*((APP / name).read_bytes() for name in _LOCK), *_NPM, *_UNUSED)


def node_modules() -> Path:
    """The folder with the npm packages of the lock file, from the cache. npm verifies the hashes in the lock file.

    Raises:
        SandboxError: There is no npm, or it failed.
    """
    target = cache.root() / "images" / "npm" / f"probe-application-{_packages_key()}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with cache.exclusive(target.parent / "lock", lambda: say("waiting for another run that installs npm packages")):
            cache.tidy(target.parent)
            if not target.exists():  # another run may have installed them meanwhile
                with cache.published(target) as folder:
                    _install(folder)
    return target / "node_modules"


def _install(folder: Path) -> None:
    for name in _LOCK:
        shutil.copy(APP / name, folder)
    _npm(folder)
    for pattern in _UNUSED:
        for unused in list(folder.rglob(pattern)):
            if unused.is_dir():
                shutil.rmtree(unused)
            else:
                unused.unlink()


def _npm(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SandboxError(
            "the probe application needs npm to install its packages, and there is no npm on PATH",
            "install it: apt-get install npm, or set IMAGES=pull where the registry can be reached",
        )
    result = subprocess.run([npm, *_NPM], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()
        raise SandboxError(
            "npm could not install the packages of the probe application:\n    " + "\n    ".join(lines[:5]),
            "check that npm can reach its registry, then run the same command again",
        )
