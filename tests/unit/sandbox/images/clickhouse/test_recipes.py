"""The recipes of the two images."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.schema.images import CLICKHOUSE, CLICKHOUSE_KEEPER, Image
from sandbox.folder import CHECKOUT
from sandbox.images import catalog, clickhouse
from sandbox.images.oci import Contents
from sandbox.images.recipe import Recipe


def test_the_engine_is_the_one_that_the_tests_use() -> None:
    pinned = clickhouse.requirement("chdb-core")
    assert re.fullmatch(r"chdb-core==[\d.]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", pinned), pinned
    assert pinned in (CHECKOUT / "requirements-dev.txt").read_text()


@pytest.mark.parametrize("image", [CLICKHOUSE, CLICKHOUSE_KEEPER])
def test_each_image_can_be_packed_for_any_release(image: Image) -> None:
    recipe = catalog.recipe(f"{image.repository}:99.1")
    assert recipe.config.user == f"{image.uid}:{image.uid}"
    assert recipe.key == catalog.recipe(image.reference).key


@pytest.mark.parametrize(("build", "command"), [(clickhouse.server, "server"), (clickhouse.keeper, "keeper")])
def test_the_commands_of_an_image_start_without_this_project(
    tmp_path: Path, build: Callable[[str], Recipe], command: str
) -> None:
    """The files are unpacked, and run by a Python that sees nothing else."""
    contents = Contents()
    build("26.4").layers[-1].fill(contents, tmp_path)
    contents.write(tmp_path / "layer.tar")
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["/bin/tar", "-xf", tmp_path / "layer.tar", "-C", root], check=True)
    start = (root / "usr/bin" / f"clickhouse-{command}").read_text()
    module = re.search(r"-m (\S+)", start)
    assert module
    folder = root / clickhouse.FOLDER.strip("/")
    result = subprocess.run(
        [sys.executable, "-P", "-s", "-m", module[1]],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, f"clickhouse-{command}: --config-file=FILE is missing\n")


def test_the_client_needs_the_standard_library_alone() -> None:
    result = subprocess.run(
        [sys.executable, "-IS", clickhouse.PROGRAMS / "client.py", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "ClickHouse client of the sandbox\n"
