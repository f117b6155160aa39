"""The shapes are those of GitHub's REST API, version 2022-11-28 (docs.github.com/rest/issues)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.schema.requests import Requests
from operations.__main__ import app
from operations.changes.model import Capacity, Report
from operations.errors import OperationError
from operations.github import GitHub
from tests.http_server import Answer, Request, serving

TOKEN = "ghs_recognizable5ecret"  # noqa: S105  # made up
MARK = "<!-- mark -->"
Json = dict[str, Any]


@dataclass
class Repository:
    """As much of a repository as comments and issues need: lists are given in pages of two."""

    comments: list[Json] = field(default_factory=list)
    issues: list[Json] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    refusal: Answer | None = None

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.refusal:
            return self.refusal
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Answer({"message": "Bad credentials"}, 401)
        path, _, query = request.path.removeprefix("/repos/me/langfuse/").partition("?")
        if request.method == "GET":
            kept = [item for item in self._list(path) if "state=open" not in query or item["state"] == "open"]
            return self._page(kept, request.path, query)
        if request.method == "POST":
            made = {
                "id": 900 + len(self.requests),
                "number": 90,
                "state": "open",
                "user": {"type": "Bot"},
                **request.body,
            }
            self._list(path).append(made)
            return Answer(made, 201)
        key, number = ("id", path.split("/")[-1]) if "comments" in path else ("number", path.split("/")[-1])
        (item,) = (item for item in [*self.comments, *self.issues] if str(item[key]) == number)
        item.update(request.body)
        return Answer(item)

    def _list(self, path: str) -> list[Json]:
        return self.comments if path == "issues/7/comments" else self.issues if path == "issues" else pytest.fail(path)

    def _page(self, items: list[Json], path: str, query: str) -> Answer:
        page = int((re.findall(r"\bpage=(\d+)", query) or ["1"])[0])
        rest = items[page * 2 :]
        bare = re.sub(r"&page=\d+", "", path)
        link = {"Link": f'<{self.url}{bare}&page={page + 1}>; rel="next"'} if rest else {}
        return Answer(items[page * 2 - 2 : page * 2], headers=link)


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    with serving(made.answer) as url:
        made.url = url
        yield made


@pytest.fixture
def environment(repository: Repository) -> dict[str, str]:
    return {"GITHUB_API_URL": repository.url, "GITHUB_REPOSITORY": "me/langfuse", "GITHUB_TOKEN": TOKEN}


def comment(number: int, body: str, kind: str = "User") -> Json:
    return {"id": number, "body": body, "user": {"type": kind}}


def test_the_first_report_is_a_new_comment(repository: Repository, environment: dict[str, str]) -> None:
    repository.comments = [comment(1, "Nice")]
    GitHub(environment).comment(7, MARK, "report")
    assert [item["body"] for item in repository.comments] == ["Nice", f"{MARK}\nreport"]


def test_a_later_report_replaces_the_comment_wherever_it_is(
    repository: Repository, environment: dict[str, str]
) -> None:
    repository.comments = [*(comment(number, "Nice") for number in range(1, 6)), comment(6, f"{MARK}\nold", "Bot")]
    GitHub(environment).comment(7, MARK, "new")
    assert [item["body"] for item in repository.comments] == ["Nice"] * 5 + [f"{MARK}\nnew"]


def test_a_persons_comment_is_never_changed(repository: Repository, environment: dict[str, str]) -> None:
    repository.comments = [comment(1, f"{MARK}\nmine")]
    GitHub(environment).comment(7, MARK, "report")
    assert repository.comments[0]["body"] == f"{MARK}\nmine"
    assert len(repository.comments) == 2


def test_drift_opens_updates_and_closes_one_issue(repository: Repository, environment: dict[str, str]) -> None:
    hub = GitHub(environment)
    hub.issue(MARK, "Drift", "first", needed=True)
    hub.issue(MARK, "Drift", "second", needed=True)
    (issue,) = repository.issues
    assert (issue["title"], issue["body"], issue["state"]) == ("Drift", f"{MARK}\nsecond", "open")
    hub.issue(MARK, "Drift", "none", needed=False)
    assert (issue["body"], issue["state"]) == (f"{MARK}\nnone", "closed")
    hub.issue(MARK, "Drift", "none", needed=False)
    assert len(repository.issues) == 1


def test_a_refusal_says_what_is_missing_without_the_token(repository: Repository, environment: dict[str, str]) -> None:
    repository.refusal = Answer({"message": "Resource not accessible by integration"}, 403)
    with pytest.raises(OperationError, match=r"403 Resource not accessible by integration; .* permission") as refused:
        GitHub(environment).comment(7, MARK, "report")
    assert TOKEN not in str(refused.value)


def test_a_server_that_is_not_there_is_said_without_a_traceback(environment: dict[str, str]) -> None:
    with pytest.raises(OperationError, match="can't be reached") as refused:
        GitHub({**environment, "GITHUB_API_URL": "http://127.0.0.1:9"}).comment(7, MARK, "report")
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("missing", ["GITHUB_TOKEN", "GITHUB_REPOSITORY"])
def test_a_missing_variable_is_named(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(OperationError, match=missing):
        GitHub({key: value for key, value in environment.items() if key != missing})


def test_reports_of_several_stacks_are_one_comment_that_fits(
    repository: Repository, environment: dict[str, str], tmp_path: Path
) -> None:
    files = []
    for stack in ("dev", "staging", "prod"):
        changes = [
            {
                "urn": f"urn:pulumi:{stack}::langfuse::kubernetes:batch/v1:Job::job{number}-{'x' * 90}",
                "action": "delete",
            }
            for number in range(400)
        ]
        capacity = Capacity(before=Requests(), after=Requests())
        file = tmp_path / f"{stack}.json"
        file.write_text(
            Report.model_validate(
                {"stack": stack, "outcome": "fine", "changes": changes, "capacity": capacity}
            ).model_dump_json()
        )
        files.append(str(file))
    words = ["comment", *files, "--pull-request", "7", "--commit", "abc1234"]

    result = CliRunner(env=environment).invoke(app, words)

    assert result.exit_code == 0, result.output
    (made,) = repository.comments
    assert len(made["body"]) <= 65_536
    assert all(f"`{stack}`: 400 to delete" in made["body"] for stack in ("dev", "staging", "prod"))
    assert "Of commit abc1234." in made["body"]
    assert made["body"].endswith(result.stdout)


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_file_that_is_no_report_is_named(environment: dict[str, str], tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "report.json"
    if text is not None:
        file.write_text(text)
    result = CliRunner(env=environment).invoke(app, ["comment", str(file), "--pull-request", "7"])
    assert result.exit_code == 2
    assert str(file) in result.output
