from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from sandbox import folder as folders
from sandbox.errors import SandboxError
from sandbox.folder import Folder, is_free

NAMES = ("one", "two")


def test_the_folder_is_private_and_marked(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    folder.prepare()
    assert Folder(tmp_path / "new").exists
    assert not Folder(tmp_path).exists
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.passphrase.stat().st_mode) == 0o600
    passphrase = folder.passphrase.read_text()
    folder.prepare()
    assert folder.passphrase.read_text() == passphrase
    assert len(passphrase) >= 32
    other = Folder(tmp_path / "other")
    other.prepare()
    assert other.passphrase.read_text() != passphrase


def test_a_variable_sets_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_DIR", str(tmp_path / "named"))
    assert Folder().path == tmp_path / "named"
    monkeypatch.delenv("SANDBOX_DIR")
    assert Folder().path == folders.CHECKOUT.resolve() / ".sandbox"


def test_a_folder_with_other_files_is_neither_used_nor_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    folder = Folder(tmp_path)
    with pytest.raises(SandboxError, match="will not start a sandbox in"):
        folder.prepare()
    with pytest.raises(SandboxError, match="will not wipe"):
        folder.wipe()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_wiping_removes_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("")
    folder = Folder(tmp_path / "new")
    folder.prepare()
    folder.wipe()
    assert [file.name for file in tmp_path.iterdir()] == ["beside"]


def test_ports_are_chosen_once_and_differ(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    folder.prepare()
    assert folder.choose_ports(NAMES, held=()) == {}
    ports = folder.ports()
    assert set(ports) == set(NAMES)
    assert len(set(ports.values())) == len(NAMES)
    assert folder.choose_ports(NAMES, held=()) == {}
    assert folder.ports() == ports


def test_an_occupied_port_is_replaced_unless_the_sandbox_uses_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    folder.prepare()
    folder.choose_ports(NAMES, held=())
    before = folder.ports()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", before["one"]))
        stranger.listen()
        assert not is_free(before["one"])
        assert folder.choose_ports(NAMES, held=["one"]) == {}
        assert folder.choose_ports(NAMES, held=[]) == {"one": before["one"]}
    assert folder.ports()["one"] != before["one"]
    assert folder.ports()["two"] == before["two"]


def test_no_free_port_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "new")
    folder.prepare()
    monkeypatch.setattr(folders, "is_free", lambda _: False)
    with pytest.raises(SandboxError, match="no free port"):
        folder.choose_ports(NAMES, held=())


def test_links_are_updated_with_the_tools(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    folder.prepare()
    for target in ("a", "b"):
        folder.link_tools({"tool": tmp_path / target})
        assert (folder.bin / "tool").readlink() == tmp_path / target
