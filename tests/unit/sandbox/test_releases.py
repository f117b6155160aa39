from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from sandbox import releases
from sandbox.releases import Hosts, Release, UnavailableError, UnreachableError
from tests.http_server import QuietHandler, http_server
from tests.servers import free_port

BINARY = b"#!/bin/sh\necho hello\n"


class Handler(QuietHandler):
    files: ClassVar[dict[str, bytes]] = {}
    requested: ClassVar[list[str]] = []

    def do_GET(self) -> None:  # noqa: N802  # named by the base class
        self.requested.append(self.path)
        body = self.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")


@pytest.fixture
def server() -> Iterator[str]:
    Handler.files, Handler.requested = {}, []
    with http_server(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never responds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.delenv("SANDBOX_OFFLINE", raising=False)
    return Hosts(tmp_path / "unreachable.json")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_binary_with_the_published_checksum_is_installed(tmp_path: Path, server: str, hosts: Hosts) -> None:
    Handler.files = {"/tool": BINARY, "/tool.sha256": digest(BINARY).encode()}
    releases.install(Release(f"{server}/tool", f"{server}/tool.sha256"), "tool", tmp_path, hosts)
    assert (tmp_path / "tool").read_bytes() == BINARY
    assert (tmp_path / "tool").stat().st_mode & 0o111


def test_an_archive_is_unpacked_with_the_files_in_the_folder_of_the_executable(
    tmp_path: Path, server: str, hosts: Hosts
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("tool-1/tool", "tool-1/helper", "tool-1/docs/readme", "../outside"):
            entry = tarfile.TarInfo(name)
            entry.size = len(BINARY)
            tar.addfile(entry, io.BytesIO(BINARY))
    archive = buffer.getvalue()
    sums = f"{'0' * 64}  other.tar.gz\n{digest(archive)}  tool.tar.gz\n"
    Handler.files = {"/tool.tar.gz": archive, "/sums": sums.encode()}
    folder = tmp_path / "folder"
    folder.mkdir()
    releases.install(Release(f"{server}/tool.tar.gz", f"{server}/sums", "tool-1/tool"), "tool", folder, hosts)
    assert sorted(file.name for file in folder.iterdir()) == ["helper", "tool"]
    assert not (tmp_path / "outside").exists()


def test_a_wrong_checksum_is_refused(tmp_path: Path, server: str, hosts: Hosts) -> None:
    Handler.files = {"/tool": BINARY + b"tampered", "/tool.sha256": digest(BINARY).encode()}
    with pytest.raises(UnavailableError, match="checksum"):
        releases.install(Release(f"{server}/tool", f"{server}/tool.sha256"), "tool", tmp_path, hosts)
    assert not (tmp_path / "tool").exists()


def test_a_release_without_a_published_checksum_is_not_downloaded(tmp_path: Path, server: str, hosts: Hosts) -> None:
    Handler.files = {"/tool": BINARY, "/sums": b"not a list"}
    with pytest.raises(UnavailableError, match="do not include tool"):
        releases.install(Release(f"{server}/tool", f"{server}/sums"), "tool", tmp_path, hosts)
    assert Handler.requested == ["/sums"]


def test_a_missing_file_does_not_make_the_host_unreachable(tmp_path: Path, server: str, hosts: Hosts) -> None:
    with pytest.raises(UnavailableError, match="404"):
        releases.fetch(f"{server}/nothing", tmp_path / "file", hosts)
    Handler.files = {"/there": b"x"}
    releases.fetch(f"{server}/there", tmp_path / "file", hosts)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_refused_connection_is_remembered_for_the_host(
    tmp_path: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{free_port()}/tool"
    with pytest.raises(UnreachableError, match="cannot be reached"):
        releases.fetch(url, tmp_path / "file", hosts)
    monkeypatch.setattr(releases, "_Transfer", None)  # a second attempt would fail on this
    with pytest.raises(UnreachableError, match="could not be reached at"):
        releases.fetch(url, tmp_path / "file", Hosts(tmp_path / "unreachable.json"))


def test_a_failure_is_forgotten_after_a_while(tmp_path: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.failed("example")
    with pytest.raises(UnreachableError):
        hosts.check("example")
    hosts.check("another")
    later = time.time() + releases.REMEMBER_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    hosts.check("example")
    (tmp_path / "unreachable.json").write_text("damaged")
    hosts.check("example")


def test_the_wait_for_a_host_that_does_not_respond_is_limited(
    tmp_path: Path, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RESPONSE_SECONDS", 0.3)
    with silent_server() as url:
        start = time.monotonic()
        with pytest.raises(UnreachableError, match="did not respond"):
            releases.fetch(f"{url}/tool", tmp_path / "file", hosts)
        assert time.monotonic() - start < 2
        with pytest.raises(UnreachableError, match="could not be reached at"):
            releases.fetch(f"{url}/other", tmp_path / "file", hosts)


def test_offline_sends_no_requests(tmp_path: Path, server: str, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="SANDBOX_OFFLINE"):
        releases.install(Release(f"{server}/tool", f"{server}/tool.sha256"), "tool", tmp_path, hosts)
    assert Handler.requested == []


@pytest.mark.parametrize("text", [f"{'a' * 64}\n", f"{'a' * 64}  tool\n", f"{'b' * 64}  other\n{'A' * 64} *tool\n"])
def test_published_checksums_have_several_formats(text: str) -> None:
    assert releases.published_checksum(text, "tool") == "a" * 64
