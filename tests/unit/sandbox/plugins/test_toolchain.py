from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python.installation import commands
from sandbox.plugins.language_python.toolchain import Toolchain, ambient_python, resolve


def make(root: Path, **options: object) -> Toolchain:
    return resolve(str(root), str(root / "program"), options)


def test_a_relative_virtual_environment_is_in_the_projects_folder(tmp_path: Path) -> None:
    assert make(tmp_path, virtualenv="env").virtualenv == tmp_path / "env"
    assert make(tmp_path, virtualenv="/opt/env").virtualenv == Path("/opt/env")


def test_without_options_the_interpreter_on_path_runs_the_program(tmp_path: Path) -> None:
    tools = make(tmp_path)
    assert (tools.name, tools.virtualenv, tools.python()) == ("pip", None, ambient_python())
    assert tools.environment({"PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_plugin_has_its_own_virtual_environment(tmp_path: Path) -> None:
    assert resolve(str(tmp_path), str(tmp_path), {}, is_plugin=True).virtualenv == tmp_path / "venv"


def test_the_named_interpreter_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "python-of-mine"
    named.touch(mode=0o755)
    monkeypatch.setenv("PULUMI_PYTHON_CMD", str(named))
    assert ambient_python() == named
    monkeypatch.setenv("PULUMI_PYTHON_CMD", "no-such-python")
    with pytest.raises(PluginError, match="no-such-python"):
        ambient_python()


def test_an_activated_environment_comes_first_on_path(tmp_path: Path) -> None:
    tools = make(tmp_path, virtualenv="env")
    active = tools.environment({"PATH": "/bin", "PYTHONHOME": "/usr", "VIRTUAL_ENV": "/other", "LANG": "C"})
    assert active == {"PATH": f"{tmp_path}/env/bin:/bin", "VIRTUAL_ENV": f"{tmp_path}/env", "LANG": "C"}


@pytest.mark.parametrize(("lock", "expected"), [("uv.lock", "uv"), ("requirements.txt", "pip")])
def test_a_lock_file_in_a_parent_folder_selects_the_toolchain(tmp_path: Path, lock: str, expected: str) -> None:
    (tmp_path / lock).touch()
    assert make(tmp_path).name == expected


def test_uv_creates_its_environment_next_to_the_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv.lock").touch()
    assert make(tmp_path, toolchain="uv").virtualenv == tmp_path / ".venv"
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "elsewhere")
    assert make(tmp_path, toolchain="uv").virtualenv == tmp_path / "elsewhere"
    assert make(tmp_path, toolchain="uv", virtualenv="given").virtualenv == tmp_path / "given"


def test_poetry_is_rejected_by_name_and_by_its_lock_file(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="poetry"):
        make(tmp_path, toolchain="poetry")
    (tmp_path / "poetry.lock").touch()
    with pytest.raises(PluginError, match="poetry"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("layout", "expected"), [("absent", "does not exist"), ("empty", "is not a virtual"), ("dangling", "is broken")]
)
def test_an_unusable_environment_is_an_error_with_a_fix(tmp_path: Path, layout: str, expected: str) -> None:
    if layout != "absent":
        (tmp_path / "env" / "bin").mkdir(parents=True)
    if layout == "dangling":
        (tmp_path / "env" / "bin" / "python").symlink_to("/nonexistent")
    with pytest.raises(PluginError, match=expected) as raised:
        make(tmp_path, virtualenv="env").python()
    assert "pulumi install" in raised.value.message


def test_an_environment_is_created_if_it_is_missing_or_empty(tmp_path: Path) -> None:
    tools = make(tmp_path, virtualenv="env")
    assert tools.needs_virtualenv()
    (tmp_path / "env").mkdir()
    assert tools.needs_virtualenv()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert not tools.needs_virtualenv()
    assert not make(tmp_path).needs_virtualenv()


def test_pip_installs_the_requirements_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "requirements.txt").write_text("pulumi\n")
    tools = make(tmp_path, virtualenv="env")
    todo = commands(tools, {"PATH": "/bin"})
    assert next(todo).command == [str(ambient_python()), "-m", "venv", str(tmp_path / "env")]
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").touch()
    rest = list(todo)
    assert rest[-1].command[1:] == ["-m", "pip", "install", "-r", "requirements.txt"]
    assert rest[-1].directory == tmp_path / "program"
    assert rest[-1].environment["VIRTUAL_ENV"] == str(tmp_path / "env")


def test_uv_without_a_project_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="uv init"):
        list(commands(make(tmp_path, toolchain="uv"), {}))
