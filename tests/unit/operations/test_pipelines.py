"""What the pipelines call is there, and nothing in them is floating."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from operations.__main__ import app

ROOT = Path(__file__).parents[3]
GITHUB = [*(ROOT / ".github").rglob("*.yml")]
GITLAB = ROOT / "docs" / "examples" / "gitlab-ci.yml"


def texts(value: object, key: str) -> Iterator[str]:
    """Every text under a key, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield from [item] if isinstance(item, str) else [text for text in item if isinstance(text, str)]
            else:
                yield from texts(item, key)


def calls(path: Path) -> list[list[str]]:
    """The words after `python -m operations` in a pipeline."""
    content = yaml.safe_load(path.read_text())
    scripts = "\n".join([*texts(content, "run"), *texts(content, "script")]).replace("\\\n", " ")
    return [shlex.split(call) for call in re.findall(r"-m operations ([^>|\n]+)", scripts)]


@pytest.mark.parametrize("path", [*GITHUB, GITLAB], ids=lambda path: path.name)
def test_every_command_that_a_pipeline_calls_takes_its_flags(path: Path) -> None:
    commands = typer.main.get_command(app)
    for words in calls(path):
        context = typer.Context(commands)
        command = commands.get_command(context, words[0])  # type: ignore[attr-defined]  # it is a group
        assert command is not None, words
        command.make_context(words[0], [re.sub(r"\$\w+", "7", word) for word in words[1:]])


def test_both_pipelines_use_the_same_commands() -> None:
    github = {words[0] for path in GITHUB for words in calls(path)}
    gitlab = {words[0] for words in calls(GITLAB)}
    assert github - gitlab == {"comment", "issue"}  # GitLab shows artifacts in the merge request
    assert gitlab <= github


def test_every_action_is_pinned_by_its_commit_and_names_the_version() -> None:
    lines = [line for path in GITHUB for line in path.read_text().splitlines() if "uses: " in line]
    assert len(lines) > 10
    for line in lines:
        assert re.search(r"uses: (\./\.github/\S+|[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$", line), line


@pytest.mark.parametrize(
    "path", [path for path in GITHUB if path.parent.name == "workflows"], ids=lambda path: path.name
)
def test_no_job_has_more_rights_than_it_names(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in path.read_text()
    written = {
        right for job in workflow["jobs"].values() for right, how in job["permissions"].items() if how == "write"
    }
    assert written == {"pull-request.yml": {"pull-requests"}, "drift.yml": {"issues"}}.get(path.name, set())


def test_what_comes_from_a_fork_gets_no_credentials() -> None:
    inside = "github.event.pull_request.head.repo.full_name == github.repository"
    for name in ("pull-request.yml", "review.yml"):
        jobs = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"]
        trusted = {key for key, job in jobs.items() if inside in job.get("if", "")}
        for key, job in jobs.items():
            after = {job.get("needs")} & trusted
            assert "secrets." not in yaml.safe_dump(job) or key in trusted, key
            assert "write" not in job["permissions"].values() or after, key
