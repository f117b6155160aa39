"""Official release files: downloaded within bounds, and only used when they match upstream's published checksum."""

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
READ_SECONDS = 10.0  # longest silence of a server
ANSWER_SECONDS = 8.0  # name look-up, connection and redirects together; a name look-up knows no timeout of its own
TRANSFER_SECONDS = 300.0  # beyond that, building is quicker
REMEMBER_SECONDS = 600.0  # how long an unreachable host is left alone
OFFLINE_VARIABLE = "SANDBOX_OFFLINE"


class UnavailableError(Exception):
    """The release cannot be had here; the tool is built instead."""


class UnreachableError(UnavailableError):
    """The host cannot be reached, so that its other files need not be tried."""


@dataclass(frozen=True)
class Release:
    """Where upstream publishes a tool and its checksum, for one platform.

    `member` is the executable's path inside a tar archive (every file beside it is kept too);
    None where `url` is the executable itself.
    """

    url: str
    checksum_url: str
    member: str | None = None


class Hosts:
    """Remembers for a while, across runs, which hosts could not be reached."""

    def __init__(self, file: Path) -> None:
        """`file` holds the memory: host -> time of the failure in seconds since 1970."""
        self._file = file

    def _failures(self) -> dict[str, float]:
        try:
            known = json.loads(self._file.read_text())
            return {str(host): float(when) for host, when in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def check(self, host: str) -> None:
        """Raise `UnreachableError` for a host that failed lately."""
        failed = self._failures().get(host, 0.0)
        if 0 <= time.time() - failed < REMEMBER_SECONDS:
            when = time.strftime("%H:%M", time.localtime(failed))
            raise UnreachableError(f"{host} could not be reached at {when}")

    def failed(self, host: str) -> None:
        """Remember that a host could not be reached."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps({**self._failures(), host: time.time()}))


def install(release: Release, name: str, folder: Path, hosts: Hosts) -> None:
    """Put the release's executable into `folder` as `name`, or raise `UnavailableError`."""
    if os.environ.get(OFFLINE_VARIABLE):
        raise UnavailableError(f"{OFFLINE_VARIABLE} is set")
    file = folder / f"{name}.download"
    sums = folder / f"{name}.checksum"
    fetch(release.checksum_url, sums, hosts)
    wanted = published_checksum(sums.read_text(), Path(urlsplit(release.url).path).name)
    fetch(release.url, file, hosts)
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != wanted:
        raise UnavailableError(f"{release.url} has the checksum {found}, but upstream publishes {wanted}")
    sums.unlink()
    if release.member is None:
        file.rename(folder / name)
    else:
        _unpack(file, Path(release.member), folder)
        file.unlink()
    (folder / name).chmod(0o755)


def published_checksum(text: str, file_name: str) -> str:
    """The SHA-256 of a file in upstream's list: either lines `<digest>  <file>`, or the digest alone."""
    for line in text.splitlines():
        digest, *names = line.split()[:2] or [""]
        if len(digest) == hashlib.sha256().digest_size * 2 and names in ([], [file_name], [f"*{file_name}"]):
            return digest.lower()
    raise UnavailableError(f"upstream's checksum list does not name {file_name}")


def _unpack(archive: Path, member: Path, folder: Path) -> None:
    """Keep the files beside the executable: the Pulumi CLI finds its bundled language hosts there."""
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
    """Download one file within the bounds above, or raise `UnavailableError`."""
    host = urlsplit(url).netloc
    hosts.check(host)
    transfer = _Transfer(url, target)
    transfer.start()
    if not transfer.answered.wait(ANSWER_SECONDS):
        transfer.error = UnreachableError(f"{host} did not answer within {ANSWER_SECONDS:.0f} s")
    else:
        transfer.join(TRANSFER_SECONDS)
        if transfer.is_alive():
            transfer.error = UnavailableError(f"{url} took more than {TRANSFER_SECONDS:.0f} s")
    transfer.given_up = True
    if isinstance(transfer.error, UnreachableError):
        hosts.failed(host)
    if transfer.error:
        raise transfer.error


class _Transfer(threading.Thread):
    """One download in the background, so that whoever waits for it can stop waiting."""

    def __init__(self, url: str, target: Path) -> None:
        super().__init__(daemon=True)
        self.answered = threading.Event()
        self.error: Exception | None = None
        self.given_up = False
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
        except OSError as error:  # the disk: not a reason to build, that would fail too
            self.error = error
        finally:
            self.answered.set()

    def _download(self) -> None:
        with requests.get(self._url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
            self.answered.set()
            if not response.ok:
                self.error = UnavailableError(f"{self._url} answers {response.status_code}")
                return
            with self._target.open("wb") as file:
                for chunk in response.iter_content(1 << 16):
                    if self.given_up:
                        return
                    file.write(chunk)
