"""What an image consists of: layers and a configuration. A recipe is plain data; nothing is built when it is made.

A family of images is a module with a function `(tag) -> Recipe`, which `catalog.py` lists by repository:

    def recipe(tag: str) -> Recipe:
        return Recipe(
            layers=(debian.base(), debian.packages("example", "jq"), files("example", File("/etc/example", b"..."))),
            config=ImageConfig(user="1000:1000", command=("/usr/bin/example",)),
        )

A layer of another kind is a `Layer` with its own `fill`. Layers are built once and shared by the images that name them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import pins, toolchain
from sandbox.errors import SandboxError
from sandbox.images.oci import Contents, ImageConfig

FORMAT = "1"
"""Part of every key. Increase it when the packer or the way in which layers are made changes."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of an image, which is built at most once for equal inputs."""

    name: str
    """For messages and the cache, such as `debian-postgresql`."""
    inputs: tuple[str, ...]
    """Everything that the content depends on: versions, file contents, the keys of other layers."""
    fill: Callable[[Contents, Path], None]
    """Adds the files. It may write to the folder, which becomes the layer's folder in the cache. `folder / WORK`, which
    `fill` may create, is deleted when the layer has been written."""
    tools: tuple[str, ...] = ()
    """Names in `toolchain.TOOLS` that `fill` needs. They are made before the layers are."""

    @property
    def key(self) -> str:
        """A short hash of all inputs."""
        return short_hash(self.name, *self.inputs)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an image is made."""

    layers: tuple[Layer, ...]
    """The lowest first."""
    config: ImageConfig

    @property
    def key(self) -> str:
        """A short hash of all inputs."""
        return short_hash(*(layer.key for layer in self.layers), repr(self.config.as_json()))

    @property
    def tools(self) -> set[str]:
        """The tools that the layers need."""
        return {tool for layer in self.layers for tool in layer.tools}


@dataclass(frozen=True)
class File:
    """A file of an image: its path, content (None for a directory), mode and owner (uid, gid)."""

    path: str
    data: bytes | Path | None
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)

    def read(self) -> bytes:
        """The content."""
        return self.data.read_bytes() if isinstance(self.data, Path) else self.data or b""


WORK = "work"
"""Folder for work files of `Layer.fill`, which is deleted when the layer has been written."""


def files(name: str, *entries: File) -> Layer:
    """A layer of files of this project."""
    inputs = tuple(f"{entry.path} {entry.mode:o} {entry.owner} {short_hash(entry.read())}" for entry in entries)

    def fill(contents: Contents, _: Path) -> None:
        for entry in entries:
            if entry.data is None:
                contents.directory(entry.path, mode=entry.mode, owner=entry.owner)
            else:
                contents.file(entry.path, entry.data, mode=entry.mode, owner=entry.owner)

    return Layer(name=name, inputs=inputs, fill=fill)


def scripts(folder: Path, *names: str, into: str = "/usr/local/bin") -> Sequence[File]:
    """Executable files from a folder of this project, for `files`."""
    return [File(f"{into}/{name}", folder / name, 0o755) for name in names]


def tools(*names: str, folder: str = "/usr/bin", capability: int | None = None) -> Layer:
    """A layer of executables of the toolchain (`sandbox/toolchain.py`), in one folder of the image.

    `capability` is the number of a capability (capabilities(7)) that a user other than root gets by running them.
    """
    inputs = (folder, str(capability), *(toolchain.cache_folder(toolchain.TOOLS[name]).name for name in names))

    def fill(contents: Contents, _: Path) -> None:
        for name, executable in toolchain.ensure(names).items():
            contents.file(f"{folder}/{name}", executable, mode=0o755, capability=capability)

    return Layer(name="-".join(names), inputs=inputs, fill=fill, tools=names)


def short_hash(*parts: str | bytes) -> str:
    """A short hash of the parts, the format and the platform."""
    digest = hashlib.sha256()
    for part in (FORMAT, *pins.platform_name(), *parts):
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]


def same_release(repository: str, tag: str, packed: str) -> None:
    """Refuse a tag of another release than the packed one. `packed` may be a major release, such as `17`."""
    if tag != packed and not tag.startswith(f"{packed}."):
        raise SandboxError(
            f"{repository}:{tag} can't be packed: the packed image has release {packed}",
            f"use a tag of release {packed}, or set IMAGES=pull where the registry can be reached",
        )
