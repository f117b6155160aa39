"""The images of ClickHouse's server and Keeper: the real engine, as the Python package chdb has it, behind stand-ins.

No package contains ClickHouse's server. `programs/` answers the interfaces that the stack uses and says what that does
not prove. The engine's release is that of chdb, so the tag of an image may be any release.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from components.schema.images import CLICKHOUSE
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT
from sandbox.golang import install_packages
from sandbox.images import debian
from sandbox.images.oci import PATH, Contents, ImageConfig
from sandbox.images.recipe import WORK, File, Layer, Recipe, files

FOLDER = "/opt/clickhouse"
"""Where the image has the programs and the engine."""

PYTHON = "3.13"
"""The release of Python in Debian trixie."""

UID = CLICKHOUSE.uid

PROGRAMS = Path(__file__).parent / "programs"
LOCK = CHECKOUT / "requirements-dev.txt"

_PACKAGE = Path(__file__).parent.relative_to(CHECKOUT)

_START = """\
#!/bin/sh
exec /usr/bin/python3 -B -P -s -m sandbox.images.clickhouse.programs.{module} "$@"
"""

_PATH_FILE = "/usr/lib/python3/dist-packages/clickhouse.pth"
"""Adds a folder to the modules that Python finds (docs.python.org/3/library/site.html)."""


def server(tag: str) -> Recipe:
    """The image of the server and the client, for any release of ClickHouse."""
    del tag
    return _recipe(
        _engine(),
        files("clickhouse-server", _command("clickhouse-server", "server"), *_client(), *_modules()),
        command="clickhouse-server",
        # CLICKHOUSE_CONFIG of the Dockerfile (docker/server/entrypoint.sh)
        configuration="/etc/clickhouse-server/config.xml",
        ports=(8123, 9000, 9009),
    )


def keeper(tag: str) -> Recipe:
    """The image of Keeper, for any release."""
    del tag
    return _recipe(
        files("clickhouse-keeper", _command("clickhouse-keeper", "keeper"), *_modules()),
        command="clickhouse-keeper",
        configuration="/etc/clickhouse-keeper/keeper_config.xml",
        ports=(2181, 9181, 9234),
    )


def requirement(name: str) -> str:
    """The lines of the lock file that pin a package: its version and hashes."""
    found = re.search(rf"^{re.escape(name)}==.*?[^\\]$", LOCK.read_text(), re.MULTILINE | re.DOTALL)
    if not found:
        raise SandboxError(f"{LOCK.name} does not pin {name}", "run `make lock`")
    return f"{found[0]}\n"


def _recipe(*layers: Layer, command: str, configuration: str, ports: tuple[int, ...]) -> Recipe:
    python = debian.packages(
        "python",
        "python3",
        before=f"""
groupadd --system --gid {UID} clickhouse
useradd --system --gid clickhouse --uid {UID} --home-dir /var/lib/clickhouse --no-create-home clickhouse
""",
    )
    return Recipe(
        layers=(debian.base(), python, *layers),
        config=ImageConfig(
            user=f"{UID}:{UID}",
            environment={"PATH": PATH},
            command=(command, f"--config-file={configuration}"),
            exposed_ports=ports,
        ),
    )


def _engine() -> Layer:
    pinned = requirement("chdb-core")

    def fill(contents: Contents, folder: Path) -> None:
        work = folder / WORK
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(pinned)
            requirements.flush()
            install_packages(Path(requirements.name), work, "installing chdb, ClickHouse's engine")
        for other in work.glob("chdb/libpybind11nonlimitedapi_chdb_*.so"):
            if not other.stem.endswith(f"_{PYTHON}"):
                other.unlink()
        contents.tree(work, FOLDER, owner=(0, 0))

    return Layer(name="clickhouse-engine", inputs=(pinned, FOLDER, PYTHON), fill=fill)


def _modules() -> list[File]:
    modules = [File(f"{FOLDER}/{_PACKAGE}/programs/{file.name}", file) for file in sorted(PROGRAMS.glob("*.py"))]
    packages = [folder for folder in (_PACKAGE, *_PACKAGE.parents) if folder.name]
    parents = [File(f"{FOLDER}/{folder}/__init__.py", b"") for folder in packages]
    return [*modules, *parents, File(_PATH_FILE, f"{FOLDER}\n".encode())]


def _command(name: str, module: str) -> File:
    return File(f"/usr/bin/{name}", _START.format(module=module).encode(), 0o755)


def _client() -> list[File]:
    """The client. It is started often, so it is a script that finds no packages."""
    script = b"#!/usr/bin/python3 -BIS\n" + (PROGRAMS / "client.py").read_bytes()
    return [File("/usr/bin/clickhouse-client", script, 0o755)]
