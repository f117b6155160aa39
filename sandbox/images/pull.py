"""Pulls images from their registries into archives (opencontainers/distribution-spec, section "Pull")."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import requests

from sandbox import pins, releases
from sandbox.errors import SandboxError
from sandbox.images import oci
from sandbox.images.catalog import Reference
from sandbox.images.oci import Json

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_TIMEOUTS = (releases.CONNECT_SECONDS, releases.READ_SECONDS)
_CHUNK_BYTES = 1 << 20


def pull(reference: Reference, folder: Path, file: Path) -> None:
    """Write the archive of an image for this platform.

    `folder` is for the parts of the image. Every part is checked against its digest.

    Raises:
        SandboxError: The registry can't be reached or does not have the image.
    """
    try:
        with requests.Session() as session:
            _Client(session, reference, folder).write(file)
    except (requests.RequestException, _RefusedError) as error:
        raise SandboxError(
            f"{reference} could not be pulled: {error}",
            "check the network, or set IMAGES=pack to make the images from packages instead",
        ) from error


class _RefusedError(Exception):
    """The registry has no such image, or sent another than asked for."""


class _Client:
    def __init__(self, session: requests.Session, reference: Reference, folder: Path) -> None:
        self._session = session
        self._reference = reference
        self._folder = folder
        self._url = f"{reference.api}{reference.repository.removeprefix(f'{reference.registry}/')}"

    def write(self, file: Path) -> None:
        descriptor, manifest = self._manifest(self._reference.digest or self._reference.tag)
        if descriptor["mediaType"] in _INDEXES:
            descriptor, manifest = self._manifest(_for_this_platform(json.loads(manifest)["manifests"]))
        parsed = json.loads(manifest)
        blobs: dict[str, bytes | Path] = {descriptor["digest"]: manifest}
        for part in (parsed["config"], *parsed["layers"]):
            blobs[part["digest"]] = self._blob(part["digest"])
        oci.write_layout(file, str(self._reference), descriptor, blobs)

    def _manifest(self, name: str) -> tuple[Json, bytes]:
        """The descriptor and the content of a manifest or index, by tag or digest."""
        answer = self._get(f"manifests/{name}", accept=(*_INDEXES, *_MANIFESTS))
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        digest = oci.digest(answer.content)
        if media_type not in (*_INDEXES, *_MANIFESTS):
            raise _RefusedError(f"the manifest has the unsupported type {media_type!r}")
        if name.startswith("sha256:") and name != digest:
            raise _RefusedError(f"the manifest has the digest {digest}, not {name}")
        return {"mediaType": media_type, "digest": digest, "size": len(answer.content)}, answer.content

    def _blob(self, digest: str) -> Path:
        file = self._folder / digest.replace(":", "-")
        received = hashlib.sha256()
        with self._get(f"blobs/{digest}", stream=True) as answer, file.open("wb") as target:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                received.update(chunk)
                target.write(chunk)
        if digest != f"sha256:{received.hexdigest()}":
            raise _RefusedError(f"a part of the image has the digest sha256:{received.hexdigest()}, not {digest}")
        return file

    def _get(self, path: str, *, accept: Sequence[str] = ("*/*",), stream: bool = False) -> requests.Response:
        """Send a request, with an anonymous token if the registry asks for one."""
        url, headers = f"{self._url}/{path}", {"Accept": ", ".join(accept)}
        answer = self._session.get(url, headers=headers, timeout=_TIMEOUTS, stream=stream)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self._authorize(answer.headers.get("WWW-Authenticate", ""))
            answer = self._session.get(url, headers=headers, timeout=_TIMEOUTS, stream=stream)
        if not answer.ok:
            raise _RefusedError(f"{url} returned status {answer.status_code}")
        return answer

    def _authorize(self, challenge: str) -> None:
        """Get a token as the challenge says (distribution, docs/spec/auth/token.md)."""
        values: Mapping[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.startswith("Bearer ") or "realm" not in values:
            raise _RefusedError("the registry does not allow anonymous access")
        parameters = {name: value for name, value in values.items() if name in {"service", "scope"}}
        answer = self._session.get(values["realm"], params=parameters, timeout=_TIMEOUTS)
        if not answer.ok:
            raise _RefusedError(f"{values['realm']} returned status {answer.status_code}")
        token = answer.json()
        self._session.headers["Authorization"] = f"Bearer {token.get('token') or token['access_token']}"


def _for_this_platform(manifests: Sequence[Json]) -> str:
    """The digest of the manifest for this system and architecture."""
    wanted = pins.platform_name()
    for entry in manifests:
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == wanted:
            return str(entry["digest"])
    raise _RefusedError(f"it does not exist for {'/'.join(wanted)}")
