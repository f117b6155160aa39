"""OCI images as archives, packed without a container engine.

An archive is a tar of an image layout (github.com/opencontainers/image-spec, image-layout.md), which
`ctr --namespace k8s.io images import` reads. The same input gives the same bytes: entries are sorted, times are fixed
and owners are numbers.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
import stat
import struct
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sandbox import pins

MODIFIED = 946684800
"""The time of every file, in seconds since 1970: the start of the year 2000."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The usual PATH of an image."""

WHITEOUT = ".wh."
"""Prefix of an empty file that deletes a file of a lower layer (image-spec, layer.md)."""

_MEDIA_TYPE = "application/vnd.oci.image.{}.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The settings with which a container of the image starts (image-spec, config.md)."""

    user: str = "0:0"
    """`uid:gid`, as numbers: the kubelet can't check a name against `runAsNonRoot`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    """Arguments of the entrypoint, or the command if there is none. A pod's `args` replace it."""
    working_directory: str = "/"
    stop_signal: str = "SIGTERM"
    exposed_ports: Sequence[int] = ()
    """TCP ports. They are information only."""

    def as_json(self) -> Json:
        """The `config` object of an image configuration."""
        return {
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in sorted(self.environment.items())],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "WorkingDir": self.working_directory,
            "StopSignal": self.stop_signal,
            "ExposedPorts": {f"{port}/tcp": {} for port in self.exposed_ports},
        }


class Contents:
    """The files of one layer. Paths are those in the image, such as `/usr/bin/mc`.

    Directories above a file need no entry: they keep the mode that a lower layer gave them, or get 0755.
    """

    def __init__(self) -> None:
        """An empty layer."""
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes | Path | None]] = {}

    @property
    def paths(self) -> Sequence[str]:
        """The paths of all entries, sorted."""
        return [f"/{name}" for name in sorted(self._entries)]

    def directory(self, path: str, *, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        """Add a directory. `owner` is (uid, gid)."""
        self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(
        self,
        path: str,
        data: bytes | Path,
        *,
        mode: int = 0o644,
        owner: tuple[int, int] = (0, 0),
        capability: int | None = None,
    ) -> None:
        """Add a file with the bytes `data` or the content of the file `data`, which is read by `write`.

        `capability` is the number of a capability that the program gets (capabilities(7), file capabilities).
        """
        info = self._add(path, tarfile.REGTYPE, mode, owner, data=data)
        if capability is not None:
            # struct vfs_cap_data of linux/capability.h: revision 2, effective; permitted and inheritable sets
            value = struct.pack("<5I", 0x02000001, 1 << capability, 0, 0, 0)
            info.pax_headers = {"SCHILY.xattr.security.capability": value.decode("ascii")}

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, tarfile.SYMTYPE, 0o777, (0, 0), target=target)

    def delete(self, path: str) -> None:
        """Hide a file or directory of a lower layer."""
        parent, _, name = path.rpartition("/")
        self._add(f"{parent}/{WHITEOUT}{name}", tarfile.REGTYPE, 0o644, (0, 0), data=b"")

    def tree(
        self,
        folder: Path,
        path: str = "/",
        *,
        owner: tuple[int, int] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Add everything in a folder, below `path`. Modes are kept, and owners unless `owner` is given.

        `without` has patterns of paths in the image that are left out; `*` in them also stands for slashes.

        Sockets and devices are left out: a container's runtime provides those that it needs.
        """
        excluded = re.compile("|".join(map(fnmatch.translate, without))) if without else None
        first_names: dict[tuple[int, int], str] = {}
        for source in sorted(folder.rglob("*")):
            name = f"{path.rstrip('/')}/{source.relative_to(folder)}"
            if excluded and excluded.match(name):
                continue
            status = source.lstat()
            mode, owned = stat.S_IMODE(status.st_mode), owner or (status.st_uid, status.st_gid)
            if stat.S_ISLNK(status.st_mode):
                self._add(name, tarfile.SYMTYPE, 0o777, owned, target=str(source.readlink()))
            elif stat.S_ISDIR(status.st_mode):
                self.directory(name, mode=mode, owner=owned)
            elif stat.S_ISREG(status.st_mode):
                first = first_names.setdefault((status.st_dev, status.st_ino), name)
                if first == name:
                    self.file(name, source, mode=mode, owner=owned)
                else:
                    self._add(name, tarfile.LNKTYPE, mode, owned, target=first.lstrip("/"), data=source)

    def subtract(self, lower: Path) -> None:
        """Turn the contents of a whole file system into what differs from the layer `lower`, a tar."""
        with tarfile.open(lower) as tar:
            below = {info.name: (info, tar.extractfile(info) if info.isreg() else None) for info in tar}
            same = {
                name
                for name, (info, data) in self._entries.items()
                if name in below and _equal(info, data, *below[name])
            }
        same = {name for name in same if not self._entries[name][0].islnk() or self._entries[name][0].linkname in same}
        deleted = below.keys() - self._entries.keys()
        for name in same:
            del self._entries[name]
        self._replace_links_to(same)
        for name in deleted:
            if name.rpartition("/")[0] not in deleted:
                self.delete(f"/{name}")

    def _replace_links_to(self, lower: Collection[str]) -> None:
        """Replace hard links to files of a lower layer, which a layer can't have, by files."""
        replaced: dict[str, str] = {}
        for name, (info, _) in sorted(self._entries.items()):
            if info.islnk() and info.linkname in lower:
                first = replaced.setdefault(info.linkname, name)
                info.type, info.linkname = (tarfile.REGTYPE, "") if first == name else (tarfile.LNKTYPE, first)

    def write(self, file: Path) -> None:
        """Write the layer as a tar."""
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
            for _, (info, data) in sorted(self._entries.items()):
                if isinstance(data, Path) and not info.islnk():
                    info.size = data.stat().st_size
                    with data.open("rb") as handle:
                        tar.addfile(info, handle)
                else:
                    content = data if isinstance(data, bytes) else b""
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))

    def _add(  # the fields of a tar entry
        self,
        path: str,
        kind: bytes,
        mode: int,
        owner: tuple[int, int],
        *,
        target: str = "",
        data: bytes | Path | None = None,
    ) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path.strip("/"))
        info.type, info.mode, info.linkname, info.mtime = kind, mode, target, MODIFIED
        info.uid, info.gid = owner
        self._entries[info.name] = (info, data)
        return info


def _equal(info: tarfile.TarInfo, data: bytes | Path | None, other: tarfile.TarInfo, file: IO[bytes] | None) -> bool:
    kinds = ("type", "mode", "uid", "gid", "linkname")
    if any(getattr(info, kind) != getattr(other, kind) for kind in kinds):
        return False
    if file is None:
        return True
    return file.read() == (data.read_bytes() if isinstance(data, Path) else data)


def write_archive(file: Path, reference: str, config: ImageConfig, layers: Sequence[Path]) -> None:
    """Write the archive of an image.

    `reference` is the complete name, such as `docker.io/library/postgres:17.10`. `layers` are tars, the lowest first.
    """
    digests = [digest(layer) for layer in layers]
    system, architecture = pins.platform_name()
    configuration = _encode(
        {
            "architecture": architecture,
            "os": system,
            "config": config.as_json(),
            # The layers are not compressed, so their ids are the digests of the blobs.
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": _MEDIA_TYPE.format("manifest"),
            "config": _descriptor(_MEDIA_TYPE.format("config"), configuration),
            "layers": [
                {"mediaType": _LAYER_TYPE, "digest": found, "size": layer.stat().st_size}
                for found, layer in zip(digests, layers, strict=True)
            ],
        }
    )
    blobs: dict[str, bytes | Path] = {digest(configuration): configuration, digest(manifest): manifest}
    blobs |= zip(digests, layers, strict=True)
    write_layout(file, reference, _descriptor(_MEDIA_TYPE.format("manifest"), manifest), blobs)


def write_layout(file: Path, reference: str, manifest: Json, blobs: Mapping[str, bytes | Path]) -> None:
    """Write the archive of an image from its parts: the descriptor of its manifest, and the blobs by digest."""
    annotations = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": annotations}]}
    contents = Contents()
    contents.file("oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
    contents.file("index.json", _encode(index))
    for found, blob in blobs.items():
        contents.file(f"blobs/{found.replace(':', '/')}", blob)
    contents.write(file)


def digest(data: bytes | Path) -> str:
    """The digest of bytes or of a file, such as `sha256:...`."""
    if isinstance(data, bytes):
        return f"sha256:{hashlib.sha256(data).hexdigest()}"
    with data.open("rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def _encode(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _descriptor(media_type: str, blob: bytes) -> Json:
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}
