"""Errors about edited files: one error, with file and line, without a value."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.settings.documents import DocumentError, read, read_stack
from operations import review
from operations.__main__ import app
from operations.changes import preview as previews
from operations.changes.preview import policy_flags
from operations.errors import OperationError
from operations.pulumi import Pulumi
from sandbox import deploy
from sandbox.errors import SandboxError
from tests.unit.operations.test_stacks import UNTIL

BROKEN = [
    ("config: [", 1, "is not YAML"),
    ("config:\n  langfuse:host: a\n\tb: c\n", 3, "is not YAML"),
    ("# a comment\n- a\n", 1, "must be a map of keys"),
    ("# a comment\nconfig: 3\n", 2, "`config` must be a map of keys"),
    ("\nconfig:\n- langfuse:host\n", 2, "`config` must be a map of keys"),
    ("config:\n  1: a\n", 1, "a key that is not text"),
    ("a: 1\n---\nb: 2\n", 2, "another document"),
    ("a: \x01\n", 1, "control character"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "Pulumi.dev.yaml"


@pytest.mark.parametrize(("text", "line", "says"), BROKEN)
def test_an_error_in_a_stack_file_has_its_line(file: Path, text: str, line: int, says: str) -> None:
    file.write_text(text)
    with pytest.raises(DocumentError) as raised:
        read_stack(file)
    assert str(raised.value).startswith(f"{file}, line {line}: ")
    assert says in str(raised.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "config:\n", "encryptionsalt: v1:x\n"])
def test_a_stack_file_may_have_no_configuration(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_stack(file) == {}


def test_a_missing_or_binary_file_is_reported(file: Path) -> None:
    with pytest.raises(DocumentError, match="No such file"):
        read(file)
    file.write_bytes(b"config: \xff\xfe\n")
    with pytest.raises(DocumentError, match="UTF-8"):
        read(file)


@pytest.mark.parametrize("text", ["config:\n  password: *hunter2\n", "config: !hunter2 a\n", "config: {hunter2\n"])
def test_an_error_quotes_no_value(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DocumentError) as raised:
        read_stack(file)
    assert "hunter2" not in str(raised.value)


def test_an_error_can_be_located_at_any_part_of_a_file(file: Path) -> None:
    file.write_text("- a: 1\n\n- a: 2\n  b:\n    c: 3\n")
    document = read(file)
    assert [document.line(*path) for path in ((0,), (1,), (1, "b"), (1, "b", "c"), (1, "none"), (5,))] == [
        1, 3, 4, 5, 3, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "says"), BROKEN)
def test_a_preview_shows_only_that_error(file: Path, text: str, line: int, says: str) -> None:
    file.write_text(text)
    result = CliRunner().invoke(app, ["preview", "--stack", "dev", "--config-file", str(file)])
    assert result.exit_code == 2
    (error,) = result.output.splitlines()
    assert error.startswith(f"error: {file}, line {line}: ")
    assert says in error


@pytest.mark.parametrize(("text", "line", "says"), BROKEN)
def test_an_error_in_the_template_of_review_stacks_is_reported(file: Path, text: str, line: int, says: str) -> None:
    file.write_text(text)
    with pytest.raises(DocumentError, match=f"line {line}: .*{says}"):
        review._settings("pr-7", UNTIL, file)


@pytest.mark.parametrize("text", ["", "config: {}", "config: {langfuse:host: 3}", "config: {langfuse:patches: []}"])
def test_a_template_without_a_host_is_reported(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(OperationError, match="langfuse:host is required"):
        review._settings("pr-7", UNTIL, file)


def test_a_template_whose_patches_are_not_a_list_is_reported(file: Path) -> None:
    file.write_text("config: {langfuse:host: a.example, langfuse:patches: 3}")
    with pytest.raises(OperationError, match="langfuse:patches must be a list"):
        review._settings("pr-7", UNTIL, file)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [("{\n  'a': 1}\n", 2, "is not JSON"), ("[]", 1, "must be a map"), ('{\n\t"a": "off",\n}', 3, "is not JSON")],
)
def test_an_error_in_the_configuration_of_policies_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, says: str
) -> None:
    monkeypatch.setattr(previews, "POLICIES", tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.json").write_text(text)
    with pytest.raises(DocumentError, match=f"dev.json, line {line}: .*{says}"):
        policy_flags("preview")


@pytest.mark.parametrize("profile", ["nonsense", "3", "[dev]"])
def test_an_unknown_profile_is_reported_before_its_policies_are_read(file: Path, profile: str) -> None:
    file.write_text(f"config: {{langfuse:profile: {profile}}}")
    with pytest.raises(OperationError, match="is not a profile; choose one of dev"):
        previews.profile_of(Pulumi("dev", file))


@pytest.mark.parametrize(("text", "line", "says"), BROKEN)
def test_the_sandbox_reports_an_error_in_a_stack_file_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, says: str
) -> None:
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    (stacks / "Pulumi.dev.yaml").write_text(text)
    monkeypatch.setattr(deploy, "CHECKOUT", tmp_path)

    class Unstarted:
        def up(self) -> None:
            raise AssertionError

    with pytest.raises(SandboxError, match=f"line {line}: .*{says}"):
        deploy.deploy("dev", Unstarted())  # type: ignore[arg-type]  # never called
