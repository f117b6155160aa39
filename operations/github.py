"""Keeps one comment on a pull request and one issue about drift, with GitHub's REST API.

API reference: docs.github.com/rest/issues/comments and docs.github.com/rest/issues/issues.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import requests

from operations.errors import OperationError

TIMEOUT_SECONDS: Final = 30
PER_PAGE: Final = 100
MOST_PAGES: Final = 50

Json = Mapping[str, Any]  # of any shape


class GitHub:
    """The repository that the runner's environment names."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the address, repository and token from the variables of the runner.

        Raises:
            OperationError: A variable is missing.
        """
        try:
            api = environment.get("GITHUB_API_URL", "https://api.github.com")
            self._repository = f"{api}/repos/{environment['GITHUB_REPOSITORY']}"
            token = environment["GITHUB_TOKEN"]
        except KeyError as missing:
            raise OperationError(
                f"{missing.args[0]} is not set; in a workflow write `env: {{GITHUB_TOKEN: ${{{{ github.token }}}}}}`"
            ) from None
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def comment(self, number: int, marker: str, text: str) -> None:
        """Create the comment that starts with a marker, or replace its text. A pull request has one."""
        body = {"body": f"{marker}\n{text}"}
        for comment in self._all(f"issues/{number}/comments"):
            if _is_from_bot(comment, marker):
                self._send("PATCH", f"issues/comments/{comment['id']}", body)
                return
        self._send("POST", f"issues/{number}/comments", body)

    def issue(self, marker: str, title: str, text: str, *, needed: bool) -> None:
        """Open the issue that starts with a marker, or replace its text. Close it if it is not needed any more."""
        body = {"body": f"{marker}\n{text}"}
        for issue in self._all("issues?state=open"):
            if _is_from_bot(issue, marker):
                self._send("PATCH", f"issues/{issue['number']}", body if needed else {**body, "state": "closed"})
                return
        if needed:
            self._send("POST", "issues", {"title": title, **body})

    def _all(self, path: str) -> Iterator[Json]:
        url = f"{self._repository}/{path}{'&' if '?' in path else '?'}per_page={PER_PAGE}"
        for _ in range(MOST_PAGES):
            answer = self._request("GET", url)
            yield from answer.json()
            if "next" not in answer.links:
                return
            url = answer.links["next"]["url"]

    def _send(self, method: str, path: str, body: Json) -> None:
        self._request(method, f"{self._repository}/{path}", body)

    def _request(self, method: str, url: str, body: Json | None = None) -> requests.Response:
        try:
            answer = requests.request(method, url, headers=self._headers, json=body, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise OperationError(f"GitHub can't be reached: {method} {url}: {type(error).__name__}") from None
        if not answer.ok:
            message = answer.json().get("message", "") if "json" in answer.headers.get("Content-Type", "") else ""
            raise OperationError(
                f"GitHub refused {method} {url}: {answer.status_code} {message}; the job needs the permission to write "
                "pull requests (for a comment) or issues (for drift)"
            )
        return answer


def _is_from_bot(item: Json, marker: str) -> bool:
    """Whether a bot wrote an item with this marker. The text of a person is never changed."""
    return (item.get("body") or "").startswith(marker) and item["user"]["type"] == "Bot"
