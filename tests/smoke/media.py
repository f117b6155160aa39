"""A small file, up and down by the signed links of Langfuse's media API (web/src/pages/api/public/media)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import requests

from operations.clients.sender import Target

CONTENT: Final = b"langfuse smoke test\n"
"""Always the same: Langfuse recognizes it by its hash, so at most one file is ever stored."""
TYPE: Final = "text/plain"
SECONDS: Final = 15


class MediaError(Exception):
    """Which hop of a file failed, and what to do."""

    def __init__(self, hop: str, detail: str, fix: str) -> None:
        super().__init__(f"{hop}: {detail}")
        self.hop, self.detail, self.fix = hop, detail, fix


@dataclass(frozen=True)
class Files:
    """The media API of a project."""

    target: Target

    def round_trip(self, trace: str) -> None:
        """Upload the file, and download it again.

        Raises:
            MediaError: It did not arrive.
        """
        digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
        body = {
            "traceId": trace,
            "field": "input",
            "contentType": TYPE,
            "contentLength": len(CONTENT),
            "sha256Hash": digest,
        }
        made = self._api("POST", "", body)
        link = made.get("uploadUrl")
        if link:  # none if Langfuse has the file already
            headers = {"Content-Type": TYPE, "x-amz-checksum-sha256": digest, "x-ms-blob-type": "BlockBlob"}
            uploaded = self._link("PUT", link, headers)
            at = datetime.now(UTC).isoformat()
            done = {"uploadedAt": at, "uploadHttpStatus": uploaded.status_code, "uploadHttpError": None}
            self._api("PATCH", f"/{made['mediaId']}", done)
        found = self._api("GET", f"/{made['mediaId']}")
        if self._link("GET", found["url"]).content != CONTENT:
            raise MediaError(
                "media", "the file comes back with another content", "look at the route to the object store"
            )

    def _api(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401  # JSON
        url = f"{self.target.url}/api/public/media{path}"
        try:
            answer = requests.request(
                method,
                url,
                json=body,
                auth=(self.target.public_key, self.target.secret_key),
                timeout=SECONDS,
                allow_redirects=False,
            )
            if answer.ok:
                return answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise MediaError("route", f"{url}: {type(error).__name__}", "look at web's log") from None
        detail = f"{method} {url} answers {answer.status_code}: {answer.text[:200]}"
        raise MediaError("media", detail, "check the media bucket: test_every_bucket_exists, and web's log")

    def _link(self, method: str, link: str, headers: dict[str, str] | None = None) -> requests.Response:
        where = link.partition("?")[0]  # the rest is a signature
        fix = (
            "route the path of the bucket on the public host to the object store, with the Host header unchanged "
            "(docs/public-routes.md)"
        )
        body = CONTENT if method == "PUT" else None
        try:
            answer = requests.request(method, link, data=body, headers=headers, timeout=SECONDS)
        except requests.RequestException as error:
            raise MediaError("signed link", f"{method} {where}: {type(error).__name__}", fix) from None
        if not answer.ok:
            raise MediaError("signed link", f"{method} {where} answers {answer.status_code}", fix)
        return answer
