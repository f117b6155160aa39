"""Downloads official releases in bounded time and verifies them against the published checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0  # without any data from the server
RESPONSE_SECONDS = 8.0  # for name resolution (which has no timeout of its own), connection and redirects together
TRANSFER_SECONDS = 300.0  # a build is faster than a longer download
REMEMBER_SECONDS = 600.0  # before an unreachable host is tried again
OFFLINE_VARIABLE = "SANDBOX_OFFLINE"


class UnavailableError(Exception):
    """The release is not available; the tool is built instead."""


class StatusError(UnavailableError):
    """The server answered with an error."""

    def __init__(self, url: str, status: int) -> None:
        """`status` is the status of HTTP."""
        super().__init__(f"{url} returned status {status}")
        self.status = status


class UnreachableError(UnavailableError):
    """The host cannot be reached, so its other files are not tried."""


@dataclass(frozen=True)
class Release:
    """The URLs of a tool and its checksum for one platform.

    `member` is the executable's path in a tar archive (all files in its folder are kept); None if `url` is the
    executable itself.
    """

    url: str
    checksum_url: str
    member: str | None = None


class Hosts:
    """Remembers, across runs, hosts that could not be reached recently."""

    def __init__(self, file: Path) -> None:
        """`file` stores the time of the failure, in seconds since 1970, by host."""
        self._file = file

    def _failures(self) -> dict[str, float]:
        try:
            known = json.loads(self._file.read_text())
            return {str(host): float(when) for host, when in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def check(self, host: str) -> None:
        """Raise `UnreachableError` for a host that failed recently."""
        failed = self._failures().get(host, 0.0)
        if 0 <= time.time() - failed < REMEMBER_SECONDS:
            when = time.strftime("%H:%M", time.localtime(failed))
            raise UnreachableError(f"{host} could not be reached at {when}")

    def failed(self, host: str) -> None:
        """Remember that a host could not be reached."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({**self._failures(), host: time.time()}))


def install(release: Release, name: str, folder: Path, hosts: Hosts) -> None:
    """Download the release's executable to `folder` as `name`. Raises `UnavailableError`."""
    if os.environ.get(OFFLINE_VARIABLE):
        raise UnavailableError(f"{OFFLINE_VARIABLE} is set")
    file = folder / f"{name}.download"
    sums = folder / f"{name}.checksum"
    fetch(release.checksum_url, sums, hosts)
    published = published_checksum(sums.read_text(), Path(urlsplit(release.url).path).name)
    fetch(release.url, file, hosts)
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != published:
        raise UnavailableError(f"{release.url} has the checksum {found}, not the published {published}")
    sums.unlink()
    if release.member is None:
        file.rename(folder / name)
    else:
        _unpack(file, Path(release.member), folder)
        file.unlink()
    (folder / name).chmod(0o755)


def published_checksum(text: str, file_name: str) -> str:
    """The SHA-256 of a file in a published list: lines `<digest>  <file>`, or the digest alone."""
    for line in text.splitlines():
        digest, *names = line.split()[:2] or [""]
        if len(digest) == hashlib.sha256().digest_size * 2 and names in ([], [file_name], [f"*{file_name}"]):
            return digest.lower()
    raise UnavailableError(f"the published checksums do not include {file_name}")


def _unpack(archive: Path, member: Path, folder: Path) -> None:
    """Unpack the executable and the files in its folder, where the Pulumi CLI looks for its language hosts."""
    with tarfile.open(archive) as tar:
        for entry in tar:
            path = Path(entry.name)
            if entry.isfile() and path.parent == member.parent and (source := tar.extractfile(entry)):
                with source, (folder / path.name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                (folder / path.name).chmod(0o755)
    if not (folder / member.name).exists():
        raise UnavailableError(f"the archive has no {member}")


def fetch(url: str, target: Path, hosts: Hosts) -> None:
    """Download a file within the time limits above. Raises `UnavailableError`."""
    host = urlsplit(url).netloc
    hosts.check(host)
    transfer = _Transfer(url, target)
    transfer.start()
    if not transfer.responded.wait(RESPONSE_SECONDS):
        transfer.error = UnreachableError(f"{host} did not respond within {RESPONSE_SECONDS:.0f} s")
    else:
        transfer.join(TRANSFER_SECONDS)
        if transfer.is_alive():
            transfer.error = UnavailableError(f"{url} took more than {TRANSFER_SECONDS:.0f} s")
    transfer.abandoned = True
    if isinstance(transfer.error, UnreachableError):
        hosts.failed(host)
    if transfer.error:
        raise transfer.error


class _Transfer(threading.Thread):
    """A download in a background thread, so that the caller can stop waiting for it."""

    def __init__(self, url: str, target: Path) -> None:
        super().__init__(daemon=True)
        self.responded = threading.Event()
        self.error: Exception | None = None
        self.abandoned = False
        self._url = url
        self._target = target

    def run(self) -> None:
        try:
            self._download()
        except (requests.ConnectionError, requests.Timeout) as error:
            host = urlsplit(self._url).netloc
            self.error = UnreachableError(f"{host} cannot be reached ({type(error).__name__})")
        except requests.RequestException as error:
            self.error = UnavailableError(f"{self._url}: {type(error).__name__}")
        except OSError as error:  # a disk error, with which a build would fail too
            self.error = error
        finally:
            self.responded.set()

    def _download(self) -> None:
        with requests.get(self._url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
            self.responded.set()
            if not response.ok:
                self.error = StatusError(self._url, response.status_code)
                return
            with self._target.open("wb") as file:
                for chunk in response.iter_content(1 << 16):
                    if self.abandoned:
                        return
                    file.write(chunk)
