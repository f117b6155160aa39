"""The images of the sandbox: where they come from, what can be packed, and that each is made once."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.schema import images as program
from sandbox import images, pins
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT
from sandbox.images import archives, catalog, cluster, debian, layers
from sandbox.images.catalog import Reference
from sandbox.images.oci import Contents, ImageConfig, write_archive
from sandbox.images.recipe import File, Layer, Recipe, files
from tests.http_server import QuietHandler, http_server
from tests.servers import free_port

EXAMPLE = "registry.example.com/example:1"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANGFUSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SANDBOX_OFFLINE", raising=False)
    monkeypatch.setenv("IMAGES", "pack")
    return tmp_path / "cache"


class Registry(QuietHandler):
    """A registry that asks for a token, and has one image in the archive `archive`."""

    archive: Path
    blobs: dict[str, bytes]
    index: bytes
    broken = False

    def do_GET(self) -> None:  # noqa: N802  # named by the base class
        if self.path.startswith("/token?"):
            self._send(200, json.dumps({"token": "t"}).encode())
        elif self.headers["Authorization"] != "Bearer t":
            self.send_response(401)
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="s",scope="repository:example:pull"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/v2/example/manifests/1":
            self._send(200, self.index, "application/vnd.oci.image.index.v1+json")
        elif (name := self.path.rpartition("/")[2]) in self.blobs:
            kind = "application/vnd.oci.image.manifest.v1+json" if "/manifests/" in self.path else "application/any"
            self._send(200, b"other" if self.broken and "/blobs/" in self.path else self.blobs[name], kind)
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def parts(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {info.name: file.read() for info in tar if (file := tar.extractfile(info))}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The reference of an image in a registry on this machine."""
    contents = Contents()
    contents.file("/etc/example", b"text")
    contents.write(tmp_path / "layer.tar")
    write_archive(tmp_path / "image.tar", EXAMPLE, ImageConfig(), [tmp_path / "layer.tar"])
    found = parts(tmp_path / "image.tar")
    (entry,) = json.loads(found["index.json"])["manifests"]
    system, architecture = pins.platform_name()
    other = {"digest": "sha256:0", "platform": {"os": "windows", "architecture": architecture}}
    mine = {**entry, "platform": {"os": system, "architecture": architecture}}
    Registry.index = json.dumps({"manifests": [other, mine]}).encode()
    Registry.blobs = {f"sha256:{name.rpartition('/')[2]}": data for name, data in found.items() if "/" in name}
    Registry.broken = False
    monkeypatch.delenv("IMAGES")
    with http_server(Registry) as port:
        yield f"127.0.0.1:{port}/example:1"


def test_an_image_is_pulled_where_its_registry_answers(registry: str, tmp_path: Path) -> None:
    assert images.mode([registry]) is images.Mode.PULL
    archive = images.ensure([registry])[registry]
    pulled, original = parts(archive), parts(tmp_path / "image.tar")
    (entry,) = json.loads(pulled.pop("index.json"))["manifests"]
    assert set(entry["annotations"].values()) == {registry}
    del original["index.json"]
    assert pulled == original
    Registry.blobs = {}
    assert images.ensure([registry]) == {registry: archive}


def test_a_part_of_an_image_with_another_digest_is_refused(registry: str, cache_folder: Path) -> None:
    Registry.broken = True
    with pytest.raises(SandboxError, match=r"has the digest sha256:.*, not sha256:(.|\n)*IMAGES=pack"):
        images.ensure([registry])
    assert [path.name for path in (cache_folder / "images").rglob("*") if path.is_file()] == ["lock"]


def test_an_image_that_the_registry_lacks_is_an_error_with_a_fix(registry: str) -> None:
    with pytest.raises(SandboxError, match=r"example:2 could not be pulled: .* returned status 404"):
        images.ensure([f"{registry.removesuffix('1')}2"])


def test_images_are_packed_where_a_registry_cannot_be_reached(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = f"127.0.0.1:{free_port()}/example:1"
    assert images.mode([registry, closed]) is images.Mode.PACK
    monkeypatch.setenv("SANDBOX_OFFLINE", "1")
    assert images.mode([registry]) is images.Mode.PACK


def test_the_variable_decides(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", "pack")
    assert images.mode([registry]) is images.Mode.PACK
    monkeypatch.setenv("IMAGES", "build")
    with pytest.raises(SandboxError, match="IMAGES=build: unknown value\n  fix: set IMAGES to pull or pack"):
        images.mode([registry])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("postgres:17", "is not a complete image reference"),
        ("docker.io/library/postgres", "is not a complete image reference"),
        ("docker.io/library/postgres:18.4", "has release 17\n  fix: use a tag of release 17, or set IMAGES=pull"),
        ("docker.io/library/postgres:170", "has release 17"),
        ("docker.io/valkey/valkey:9.0.1", "has release 8"),
        ("registry.k8s.io/coredns/coredns:v1.0.0", "has release v1."),
        (f"docker.io/library/postgres:17.10@sha256:{'0' * 64}", "is pinned by a digest"),
        ("docker.io/library/unknown:1", "can't be packed\n  fix: set IMAGES=pull"),
    ],
)
def test_what_cannot_be_packed_is_an_error_with_a_fix(reference: str, message: str, cache_folder: Path) -> None:
    with pytest.raises(SandboxError, match=message):
        images.ensure([reference])
    assert not cache_folder.exists()


@pytest.mark.parametrize("reference", catalog.DEFAULTS)
def test_the_default_images_can_be_packed_and_a_recipe_builds_nothing(reference: str, cache_folder: Path) -> None:
    recipe = catalog.recipe(reference)
    assert recipe.key == catalog.recipe(reference).key
    uid, gid = recipe.config.user.split(":")
    assert uid.isdigit()
    assert gid.isdigit()
    assert not cache_folder.exists()


def test_the_images_of_the_cluster_are_those_of_its_objects() -> None:
    objects = yaml.safe_load_all((CHECKOUT / "sandbox" / "node" / "objects.yaml").read_text())
    templates = [item["spec"]["template"]["spec"] for item in objects if item and item["kind"] == "Deployment"]
    rendered = {container["image"] for template in templates for container in template["containers"]}
    assert rendered == {cluster.COREDNS}


def test_servers_run_as_the_user_of_their_pods_and_postgres_is_stopped_by_a_fast_shutdown() -> None:
    for image in (program.POSTGRES, program.VALKEY):
        config = catalog.recipe(image.reference).config
        assert config.user == f"{image.uid}:{image.uid}"
    assert catalog.recipe(program.POSTGRES.reference).config.stop_signal == "SIGINT"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers that were built for two images with a common layer, as they are built."""
    built: list[str] = []

    def layer(name: str) -> Layer:
        def fill(contents: Contents, folder: Path) -> None:
            built.append(name)
            contents.file(f"/{name}", name.encode())
            (folder / "packages.txt").write_text(name)

        return Layer(name=name, inputs=(name,), fill=fill)

    def recipe(tag: str) -> Recipe:
        return Recipe(layers=(layer("common"), layer(f"own-{tag}")), config=ImageConfig())

    monkeypatch.setattr(catalog, "RECIPES", {"registry.example.com/example": recipe})
    return built


def test_a_common_layer_is_built_once_and_an_existing_archive_is_not_built_again(
    made: list[str], cache_folder: Path
) -> None:
    both = [EXAMPLE, EXAMPLE.replace(":1", ":2")]
    found = images.ensure(both)
    assert made == ["common", "own-1", "own-2"]
    assert images.ensure(both) == found
    assert made == ["common", "own-1", "own-2"]
    records = (cache_folder / "images" / "layers").glob("*/packages.txt")
    assert sorted(file.read_text() for file in records) == ["common", "own-1", "own-2"]


def test_what_a_killed_run_left_is_removed(made: list[str], cache_folder: Path) -> None:
    leftovers = [cache_folder / "images" / kind / ".partial-x" / "root" for kind in ("layers", "archives")]
    for leftover in leftovers:
        leftover.mkdir(parents=True)
    images.ensure([EXAMPLE])
    assert made
    assert not any(leftover.exists() for leftover in leftovers)


def test_an_image_changes_its_archive_with_every_input() -> None:
    reference = Reference.parse(EXAMPLE)

    def place(config: ImageConfig, *entries: File) -> Path:
        return archives.path(reference, Recipe(layers=(files("own", *entries),), config=config))

    file = File("/etc/example", b"text")
    places = [
        place(ImageConfig(), file),
        place(ImageConfig(user="1:1"), file),
        place(ImageConfig(), File("/etc/example", b"other")),
        place(ImageConfig(), File("/etc/other", b"text")),
        place(ImageConfig(), File("/etc/example", b"text", 0o600)),
        place(ImageConfig(), File("/etc/example", b"text", owner=(1, 1))),
        place(ImageConfig(), File("/etc/example", None)),
        place(ImageConfig()),
    ]
    assert len(set(places)) == len(places)
    assert place(ImageConfig(), file) == places[0]


def test_files_and_folders_are_packed_with_their_modes(cache_folder: Path) -> None:
    layer = files("own", File("/run/example", b"#!/bin/sh", 0o755), File("/data", None, 0o700, (5, 6)))
    with tarfile.open(layers.ensure(layer)) as tar:
        found = {info.name: (info.isdir(), info.mode, info.uid, info.gid) for info in tar}
    assert found == {"run/example": (False, 0o755, 0, 0), "data": (True, 0o700, 5, 6)}


def test_the_mirror_of_apt_is_used(tmp_path: Path) -> None:
    assert debian.mirror(tmp_path) == debian.DEFAULT_MIRROR
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: https://mirror.example.com/debian/\nSuites: bookworm\n"
    )
    assert debian.mirror(tmp_path) == "https://mirror.example.com/debian"
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example.com/debian bookworm main\n"
        "deb https://other.example.com/tool stable main\n"
        "deb [signed-by=/key.gpg] http://first.example.com/debian bookworm main\n"
    )
    assert debian.mirror(tmp_path) == "http://first.example.com/debian"


def test_without_root_a_debian_image_is_an_error_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match=r"needs root\n  fix: run this as root on Linux, or set IMAGES=pull"):
        images.ensure([program.VALKEY.reference])
    assert not list((cache_folder / "images" / "layers").iterdir())


def test_without_debootstrap_a_debian_image_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _name, **_options: None)
    with pytest.raises(SandboxError, match=r"lacks debootstrap, .*\n  fix: install .*apt-get install debootstrap"):
        images.ensure([program.VALKEY.reference])


def test_the_command_prints_no_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox", "images", "docker.io/library/postgres:18.4"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "error: docker.io/library/postgres:18.4 can't be packed" in result.stderr
    assert "Traceback" not in result.stderr
