"""The images of web and worker, and the parts of the probe application that need no server."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from components.schema import images
from sandbox.errors import SandboxError
from sandbox.images import catalog, probe_application
from tests.servers import program

TESTS = sorted((Path(__file__).parent / "probe_application").glob("*.test.cjs"))


@pytest.mark.parametrize("file", TESTS, ids=[file.name for file in TESTS])
def test_parts_of_the_application(file: Path) -> None:
    done = subprocess.run(
        [program("node", package="nodejs"), "--test", "--test-reporter", "tap", file],
        env={"PATH": os.environ["PATH"], "APP": str(probe_application.APP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("image", [images.web("4.82.0"), images.worker("4.82.0")], ids=["web", "worker"])
def test_the_image_runs_as_the_user_of_the_pods_and_tells_the_version(image: images.Image) -> None:
    config = catalog.recipe(image.reference).config
    assert config.user == f"{image.uid}:{image.uid}"
    assert config.environment["PROBE_VERSION"] == "4.82.0"
    assert config.entrypoint[:2] == ("dumb-init", "--")


def test_images_of_two_versions_have_the_same_layers() -> None:
    old, new = (catalog.recipe(images.web(version).reference) for version in ("4.82.0", "4.83.0"))
    assert [layer.key for layer in old.layers] == [layer.key for layer in new.layers]


def test_the_image_has_what_the_entrypoints_run() -> None:
    paths = {file.path: file.mode for file in probe_application.sources()}
    for program_name, main in (("web", "server.js"), ("worker", "index.js")):
        assert paths[f"/app/{program_name}/entrypoint.sh"] == 0o755
        assert f"/app/{program_name}/{main}" in paths
    assert "/app/packages/shared/scripts/cleanup.sql" in paths


def test_clustered_and_unclustered_migrations_differ_in_the_cluster_only() -> None:
    folder = probe_application.APP / "packages/shared/clickhouse/migrations"
    for file in (folder / "clustered").iterdir():
        plain = file.read_text().replace(" ON CLUSTER default", "").replace("ReplicatedReplacing", "Replacing")
        assert plain == (folder / "unclustered" / file.name).read_text()


def test_the_lock_file_pins_every_package_by_its_hash_and_names_no_host() -> None:
    lock = json.loads((probe_application.APP / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert not any("resolved" in entry for entry in packages.values())
    declared = json.loads((probe_application.APP / "package.json").read_text())["dependencies"]
    assert all(packages[f"node_modules/{name}"]["version"] == version for name, version in declared.items())


def test_without_npm_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="there is no npm on PATH") as caught:
        probe_application.node_modules()
    assert "apt-get install npm" in caught.value.fix
