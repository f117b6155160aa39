from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox.images.oci import Contents, ImageConfig, digest, write_archive

REFERENCE = "docker.io/library/example:1.2"


def layer(file: Path, contents: Contents) -> Path:
    contents.write(file)
    return file


def example(path: str = "/etc/example", data: bytes = b"text") -> Contents:
    contents = Contents()
    contents.file(path, data)
    return contents


def entries(file: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(file) as tar:
        return {info.name: info for info in tar}


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {info.name: file.read() for info in tar if (file := tar.extractfile(info))}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layers = [layer(tmp_path / "0.tar", example()), layer(tmp_path / "1.tar", example("/etc/more"))]
    config = ImageConfig(
        user="1000:1000",
        environment={"B": "2", "A": "1"},
        entrypoint=("/bin/example",),
        command=("serve",),
        working_directory="/data",
        stop_signal="SIGINT",
        exposed_ports=(80,),
    )
    write_archive(tmp_path / "image.tar", REFERENCE, config, layers)
    return tmp_path / "image.tar"


def test_an_archive_is_a_layout_whose_digests_and_sizes_are_those_of_its_blobs(archive: Path) -> None:
    parts = blobs(archive)
    assert json.loads(parts.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(parts.pop("index.json"))
    for name, content in parts.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"

    def read(descriptor: dict[str, Any]) -> bytes:
        content = parts[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert descriptor["size"] == len(content)
        return content

    (entry,) = index["manifests"]
    assert set(entry["annotations"].values()) == {REFERENCE}
    manifest = json.loads(read(entry))
    config = json.loads(read(manifest["config"]))
    layers = [read(descriptor) for descriptor in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [digest(content) for content in layers]
    assert config["config"] == {
        "User": "1000:1000",
        "Env": ["A=1", "B=2"],
        "Entrypoint": ["/bin/example"],
        "Cmd": ["serve"],
        "WorkingDir": "/data",
        "StopSignal": "SIGINT",
        "ExposedPorts": {"80/tcp": {}},
    }
    assert (config["os"], config["architecture"]) in {("linux", "amd64"), ("linux", "arm64"), ("darwin", "arm64")}


def test_equal_contents_give_equal_bytes_whatever_the_order_and_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("b", "a"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_text(name)
    first, second = Contents(), Contents()
    first.tree(source)
    first.file("/c", b"c")
    os.utime(source / "a" / "file", (1, 1))
    second.file("/c", b"c")
    second.tree(source)
    assert layer(tmp_path / "1.tar", first).read_bytes() == layer(tmp_path / "2.tar", second).read_bytes()


def test_a_tree_keeps_modes_links_and_hard_links_and_leaves_out_what_it_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "tmp" / "below").mkdir(parents=True)
    (source / "bin" / "a").write_text("a")
    (source / "bin" / "a").chmod(0o4755)
    (source / "bin" / "b").hardlink_to(source / "bin" / "a")
    (source / "link").symlink_to("bin/a")
    os.mkfifo(source / "pipe")
    contents = Contents()
    contents.tree(source, "/opt", owner=(7, 8), without=["/opt/tmp/*"])
    found = entries(layer(tmp_path / "layer.tar", contents))
    assert sorted(found) == ["opt/bin", "opt/bin/a", "opt/bin/b", "opt/link", "opt/tmp"]
    assert found["opt/bin/a"].mode == 0o4755
    assert (found["opt/bin/a"].uid, found["opt/bin/a"].gid) == (7, 8)
    assert found["opt/bin/b"].islnk()
    assert found["opt/bin/b"].linkname == "opt/bin/a"
    assert found["opt/link"].linkname == "bin/a"


def test_a_program_can_have_a_capability(tmp_path: Path) -> None:
    contents = Contents()
    contents.file("/coredns", b"", mode=0o755, capability=10)
    info = entries(layer(tmp_path / "layer.tar", contents))["coredns"]
    value = info.pax_headers["SCHILY.xattr.security.capability"].encode()
    assert value == bytes.fromhex("0100000200040000000000000000000000000000")  # as `setcap cap_net_bind_service=ep`


def test_the_difference_to_a_lower_layer_has_what_is_new_changed_or_deleted(tmp_path: Path) -> None:
    below = Contents()
    for path in ("/same", "/changed", "/mode", "/old/a", "/old/b"):
        below.file(path, b"1")
    below.directory("/old")
    lower = layer(tmp_path / "lower.tar", below)

    whole = Contents()
    whole.file("/same", b"1")
    whole.file("/changed", b"2")
    whole.file("/mode", b"1", mode=0o600)
    whole.file("/new", b"1")
    whole.subtract(lower)
    assert whole.paths == ["/.wh.old", "/changed", "/mode", "/new"]


def linked(folder: Path) -> tuple[Path, Path]:
    """A folder with two names of one file, and a layer of it."""
    source = folder / "source"
    source.mkdir()
    (source / "a").write_text("1")
    (source / "b").hardlink_to(source / "a")
    below = Contents()
    below.tree(source)
    return source, layer(folder / "lower.tar", below)


def test_a_layer_has_no_hard_links_to_files_of_a_lower_layer(tmp_path: Path) -> None:
    source, lower = linked(tmp_path)

    for name in ("c", "d"):
        (source / name).hardlink_to(source / "a")
    whole = Contents()
    whole.tree(source)
    whole.subtract(lower)
    file = layer(tmp_path / "upper.tar", whole)
    with tarfile.open(file) as tar:
        assert {info.name: info.linkname for info in tar} == {"c": "", "d": "c"}
        content = tar.extractfile("c")
        assert content is not None
        assert content.read() == b"1"


def test_a_hard_link_to_a_changed_file_is_in_the_layer(tmp_path: Path) -> None:
    source, lower = linked(tmp_path)

    (source / "a").write_text("2")
    whole = Contents()
    whole.tree(source)
    whole.subtract(lower)
    assert {name: info.linkname for name, info in entries(layer(tmp_path / "upper.tar", whole)).items()} == {
        "a": "",
        "b": "a",
    }
