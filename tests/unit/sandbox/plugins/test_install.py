from __future__ import annotations

import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from sandbox import releases
from sandbox.errors import SandboxError
from sandbox.plugins.install import MARKER, PLUGINS, PYTHON_VARIABLE, RETRY_SECONDS, STANDIN, Plugin, cli, install

RANDOM = next(plugin for plugin in PLUGINS if plugin.name == "random")
KUBERNETES = next(plugin for plugin in PLUGINS if plugin.name == "kubernetes")
HOST = next(plugin for plugin in PLUGINS if plugin.kind == "language")


@pytest.fixture(autouse=True)
def nothing_official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LANGFUSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(releases.OFFLINE_VARIABLE, "1")
    monkeypatch.delenv("PLUGINS", raising=False)
    monkeypatch.delenv(PYTHON_VARIABLE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def folder(home: Path, plugin: Plugin = RANDOM) -> Path:
    return home / "plugins" / plugin.folder


def official(parent: Path, plugin: Plugin, version: str | None = None) -> Path:
    """Create an executable that prints its version in place of an official plugin."""
    parent.mkdir(parents=True, exist_ok=True)
    executable = parent / plugin.file
    executable.write_text(f"#!/bin/sh\necho v{version or plugin.version}\n")
    executable.chmod(0o755)
    return executable


def official_cli(parent: Path) -> Path:
    """Create a CLI of the right version with the language host in its folder, as in its archive."""
    cli = official(parent, HOST).with_name("pulumi")
    cli.write_text(f"#!/bin/sh\necho v{HOST.version}\n")
    cli.chmod(0o755)
    return cli


def test_stand_ins_are_installed_under_the_versions_of_the_sdk(home: Path) -> None:
    install(home)
    for plugin in PLUGINS:
        assert os.access(folder(home, plugin) / plugin.file, os.X_OK)
        assert (folder(home, plugin) / MARKER).read_text() == STANDIN
    assert folder(home).name == f"resource-random-v{RANDOM.version}"
    assert not list((home / "plugins").glob("*.partial"))


def test_a_stand_in_starts_in_any_folder_whatever_its_files(home: Path, tmp_path: Path) -> None:
    install(home)
    (tmp_path / "grpc.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "sandbox").mkdir()
    process = subprocess.Popen(
        [folder(home) / RANDOM.file, "127.0.0.1:1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert 0 < int(process.stdout.readline()) < 65536
    finally:
        process.terminate()
    assert process.wait(timeout=10) == 0


def test_a_second_install_changes_nothing(home: Path) -> None:
    install(home)
    before = {path: path.stat().st_ino for path in home.rglob("*")}
    install(home)
    assert {path: path.stat().st_ino for path in home.rglob("*")} == before


def test_another_interpreter_renews_the_stand_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(home)
    monkeypatch.setenv(PYTHON_VARIABLE, "/opt/other/python")
    install(home)
    assert "/opt/other/python" in (folder(home) / RANDOM.file).read_text()


def test_a_damaged_stand_in_is_repaired(home: Path) -> None:
    install(home)
    (folder(home) / RANDOM.file).unlink()
    install(home)
    assert (folder(home) / RANDOM.file).exists()


def test_an_installed_official_plugin_is_kept(home: Path) -> None:
    executable = official(folder(home), RANDOM)
    content = executable.read_text()
    install(home)
    assert executable.read_text() == content


@pytest.mark.parametrize("place", ["bin", "user"])
def test_an_official_plugin_elsewhere_is_linked(home: Path, tmp_path: Path, place: str) -> None:
    parent = tmp_path / "bin" if place == "bin" else tmp_path / "user" / ".pulumi" / "plugins" / RANDOM.folder
    executable = official(parent, RANDOM)
    install(home)
    assert (folder(home) / RANDOM.file).resolve() == executable
    assert not folder(home).is_symlink()  # Pulumi overlooks a folder that is a link
    executable.unlink()
    install(home)
    assert (folder(home) / MARKER).read_text() == STANDIN


def test_an_official_language_host_is_linked_with_its_script(home: Path, tmp_path: Path) -> None:
    official_cli(tmp_path / "bin")
    (tmp_path / "bin" / f"{HOST.file}-exec").touch()
    install(home)
    assert {path.name for path in folder(home, HOST).iterdir()} == {HOST.file, f"{HOST.file}-exec", MARKER}


@pytest.mark.parametrize(("wanted", "alone"), [("standin", True), ("official", False), ("", False)])
def test_the_official_language_host_in_the_clis_folder_does_not_hide_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, alone: bool
) -> None:
    monkeypatch.setenv("PLUGINS", wanted)
    found = official_cli(tmp_path / "bin")
    link = tmp_path / "link"
    link.symlink_to(found)
    chosen = cli(link, tmp_path / "cli")
    assert (chosen.resolve().parent / HOST.file).exists() is not alone
    assert chosen.read_text() == found.read_text()
    found.write_text("another version")
    assert cli(link, tmp_path / "cli").read_text() == "another version"


def test_a_cli_without_plugins_is_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGINS", "standin")
    found = official_cli(tmp_path / "bin")
    (tmp_path / "bin" / HOST.file).unlink()
    assert cli(found, tmp_path / "cli") == found


def test_a_plugin_without_a_version_flag_is_called_over_grpc(home: Path, tmp_path: Path) -> None:
    """As with the official plugin for Kubernetes, which exits with 2 for `--version`."""
    install(tmp_path / "other")
    executable = official(tmp_path / "bin", KUBERNETES)
    executable.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 2\nexec {folder(tmp_path / "other", KUBERNETES) / KUBERNETES.file}\n'
    )
    install(home)
    assert (folder(home, KUBERNETES) / KUBERNETES.file).resolve() == executable
    executable.write_text("#!/bin/sh\nexit 2\n")
    install(tmp_path / "third")
    assert (folder(tmp_path / "third", KUBERNETES) / MARKER).read_text() == STANDIN


def test_an_official_plugin_of_another_version_is_not_used(home: Path, tmp_path: Path) -> None:
    official(tmp_path / "bin", RANDOM, version="0.0.1")
    install(home)
    assert (folder(home) / MARKER).read_text() == STANDIN


def test_a_new_official_plugin_replaces_the_stand_in_after_a_day(home: Path, tmp_path: Path) -> None:
    install(home)
    executable = official(tmp_path / "user" / ".pulumi" / "plugins" / RANDOM.folder, RANDOM)
    install(home)
    assert (folder(home) / MARKER).read_text() == STANDIN
    past = time.time() - RETRY_SECONDS - 1
    os.utime(folder(home) / MARKER, (past, past))
    install(home)
    assert (folder(home) / RANDOM.file).resolve() == executable


def test_official_only_is_an_error_if_there_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGINS", "official")
    with pytest.raises(SandboxError) as raised:
        install(home)
    assert "PLUGINS=official" in raised.value.problem
    assert "unset PLUGINS" in raised.value.fix


def test_stand_ins_only_overrides_an_official_plugin_on_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official(tmp_path / "bin", RANDOM)
    install(home)
    monkeypatch.setenv("PLUGINS", "standin")
    install(home)
    assert (folder(home) / MARKER).read_text() == STANDIN


def test_stand_ins_only_never_removes_a_plugin_that_someone_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = official(folder(home), RANDOM)
    monkeypatch.setenv("PLUGINS", "standin")
    with pytest.raises(SandboxError, match="pulumi plugin rm resource random"):
        install(home)
    assert executable.exists()


def test_an_invalid_choice_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGINS", "mine")
    with pytest.raises(SandboxError, match="official or standin"):
        install(home)


def test_an_archive_is_downloaded_from_the_official_release(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(releases.OFFLINE_VARIABLE)
    source = official(tmp_path / "published", RANDOM)
    asked: list[str] = []

    def fetch(url: str, target: Path, _hosts: releases.Hosts) -> None:
        asked.append(url)
        if "random" not in url:
            raise releases.UnreachableError("example.org cannot be reached")
        with tarfile.open(target, "w:gz") as archive:
            archive.add(source, source.name)

    monkeypatch.setattr(releases, "fetch", fetch)
    install(home)
    version = RANDOM.version
    assert any(f"/v{version}/pulumi-resource-random-v{version}-" in url for url in asked)
    assert (folder(home) / RANDOM.file).read_text() == source.read_text()
    assert (folder(home, KUBERNETES) / MARKER).read_text() == STANDIN


def test_the_cli_writes_no_logs_unless_their_folder_exists(home: Path) -> None:
    install(home)
    install(home)
    assert (home / "logs").is_file()
    (home / "logs").unlink()
    (home / "logs").mkdir()
    install(home)
    assert (home / "logs").is_dir()
