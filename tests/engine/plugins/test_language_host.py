"""A Python program at run time: its output, its errors, its configuration and its end."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import psutil
import pytest

from sandbox.plugins.install import cli
from tests.engine.conftest import ProgramFactory
from tests.engine.harness import STACK, Engine, Program
from tests.waiting import eventually

pytestmark = pytest.mark.long


def test_stdout_and_stderr_of_the_program_are_shown(program: ProgramFactory) -> None:
    result = program("import sys; print('to stdout'); print('to stderr', file=sys.stderr)").preview().ok()
    assert "to stdout" in result.messages("info")
    assert "to stderr" in result.messages("info#err")


def test_a_normal_run_has_no_warnings(program: ProgramFactory) -> None:
    simple = program("import pulumi; pulumi.export('answer', 42)")
    for result in (simple.preview(), simple.up(), simple.destroy()):
        result.ok()
        assert result.messages("warning", "error", "info#err") == []
        assert "warning" not in result.output.lower()


def test_an_exception_is_one_error_with_a_traceback_of_the_program(program: ProgramFactory) -> None:
    result = program("def fail():\n    raise KeyError('no such thing')\n\nfail()\n").preview()
    assert result.exit_code != 0
    (error,) = result.messages("error")
    assert "Program failed with an unhandled exception" in error
    assert "KeyError: 'no such thing'" in error
    assert "runner.py" not in error
    assert "runpy" not in error


def test_a_run_error_is_shown_as_its_message(program: ProgramFactory) -> None:
    result = program("import pulumi\nraise pulumi.RunError('the bucket name is taken')").preview()
    assert result.exit_code != 0
    errors = result.messages("error")
    assert "the bucket name is taken" in errors
    assert not any("Traceback" in error for error in errors)


def test_an_exit_code_of_the_program_is_reported(program: ProgramFactory) -> None:
    result = program("import sys; sys.exit(7)").preview()
    assert result.exit_code != 0
    assert any("7" in error for error in result.messages("error"))


def test_a_syntax_error_is_shown_with_its_line(program: ProgramFactory) -> None:
    result = program("x = (\n").preview()
    assert result.exit_code != 0
    assert any("SyntaxError" in error and "line 2" in error for error in result.messages("error"))


def test_a_missing_main_file_is_reported(program: ProgramFactory) -> None:
    empty = program("")
    (empty.folder / "__main__.py").unlink()
    result = empty.preview()
    assert result.exit_code != 0
    assert "__main__.py" in result.output
    assert "Traceback" not in result.output


def test_settings_reach_the_program(program: ProgramFactory) -> None:
    shown = program(
        """
        import json, os, sys, pulumi
        from pulumi.runtime import settings
        print(json.dumps({
            "project": pulumi.get_project(), "stack": pulumi.get_stack(), "organization": pulumi.get_organization(),
            "dry": pulumi.runtime.is_dry_run(), "parallel": settings.SETTINGS.parallel,
            "root": pulumi.get_root_directory(), "cwd": os.getcwd(), "argv": sys.argv, "main": __name__,
        }))
        """
    )
    previewed, updated = (
        json.loads(result.ok().messages("info")[0]) for result in (shown.preview("--parallel", "3"), shown.up())
    )
    assert previewed["project"] == "program"
    assert previewed["stack"] == STACK
    assert previewed["organization"] == "organization"
    assert previewed["parallel"] == 3
    assert (previewed["dry"], updated["dry"]) == (True, False)
    assert previewed["root"] == previewed["cwd"] == str(shown.folder)
    assert previewed["main"] == "__main__"


def test_the_program_can_import_its_own_modules_and_none_of_the_plugins(program: ProgramFactory) -> None:
    own = program(
        """
        import importlib.util, os, sys
        import helpers, runner
        print(helpers.VALUE, runner.VALUE, importlib.util.find_spec("sandbox"), os.environ.get("PYTHONSAFEPATH"))
        """
    )
    own.write("VALUE = 'from helpers'", "helpers.py")
    own.write("VALUE = 'from runner'", "runner.py")
    assert own.preview().ok().messages("info") == ["from helpers from runner None None"]


def test_the_program_reads_its_configuration_and_secrets_stay_secret(program: ProgramFactory) -> None:
    configured = program(
        """
        import sys
        import pulumi
        config = pulumi.Config()
        assert not any("correct" in word for word in sys.orig_argv), "other users can read the process list"
        pulumi.export("plain", config.require("plain"))
        pulumi.export("number", config.require_object("nested")["count"])
        pulumi.export("hidden", config.require_secret("hidden"))
        """
    )
    configured.config_set("plain", "visible value")
    configured.pulumi("config", "set", "--path", "nested.count", "3").ok()
    configured.config_set("hidden", "correct horse battery", secret=True)
    result = configured.up().ok()
    assert configured.outputs() == {"plain": "visible value", "number": 3, "hidden": "correct horse battery"}
    state = configured.export()
    assert "visible value" in state
    assert "correct horse battery" not in state + result.output


def test_the_program_knows_which_values_are_secret(program: ProgramFactory) -> None:
    careful = program(
        """
        from pulumi.runtime import is_config_secret
        print(is_config_secret("program:hidden"), is_config_secret("program:plain"))
        """
    )
    careful.config_set("hidden", "correct horse battery", secret=True)
    careful.config_set("plain", "visible")
    assert careful.preview().ok().messages("info") == ["True False"]


def test_a_missing_configuration_value_is_reported(program: ProgramFactory) -> None:
    result = program("import pulumi; pulumi.Config().require('host')").preview()
    assert result.exit_code != 0
    assert any("program:host" in error for error in result.messages("error"))


def test_outputs_of_another_stack_can_be_read(program: ProgramFactory, tmp_path: Path) -> None:
    source = program(
        """
        import pulumi
        pulumi.export("url", "https://example.org")
        pulumi.export("key", pulumi.Output.secret("k3y"))
        """
    )
    source.up().ok()
    reader = Program(source.engine, tmp_path / "reader", name="reader")
    reader.share_backend(source)
    reader.write(
        """
        import pulumi
        other = pulumi.StackReference("organization/program/test")
        pulumi.export("url", other.require_output("url"))
        pulumi.export("key", other.require_output("key"))
        """
    )
    reader.up().ok()
    assert reader.outputs() == {"url": "https://example.org", "key": "k3y"}
    assert "k3y" not in reader.export()


def test_a_missing_virtual_environment_is_one_error_with_the_fix(program: ProgramFactory) -> None:
    lost = program("import pulumi")
    lost.options({"toolchain": "pip", "virtualenv": "broken"})
    (lost.folder / "broken" / "bin").mkdir(parents=True)
    (lost.folder / "broken" / "bin" / "python").symlink_to("/nonexistent/python3")
    result = lost.preview()
    assert result.exit_code != 0
    assert str(lost.folder / "broken") in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"toolchain": "conda"}, "conda"),
        ({"typechecker": "pytype", "virtualenv": sys.prefix}, "pytype"),
        ({"virtualenv": 3}, "virtualenv"),
    ],
)
def test_an_invalid_runtime_option_is_reported(
    program: ProgramFactory, options: dict[str, object], expected: str
) -> None:
    wrong = program("import pulumi")
    wrong.options(options)
    result = wrong.preview()
    assert result.exit_code != 0
    assert expected in result.output


def test_an_interpreter_without_pulumi_says_how_to_install_it(program: ProgramFactory) -> None:
    bare = program("import pulumi")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare.folder / "bare")], check=True, timeout=60)
    bare.options({"toolchain": "pip", "virtualenv": "bare"})
    result = bare.preview()
    assert result.exit_code != 0
    assert "install" in result.output
    assert "No module named 'pulumi'" in result.output


def test_a_type_error_stops_the_program(program: ProgramFactory) -> None:
    wrong = program("x: int = 'text'\nprint('the program ran')\n")
    wrong.options({"toolchain": "pip", "virtualenv": sys.prefix, "typechecker": "mypy"})
    result = wrong.preview()
    assert result.exit_code != 0
    assert "Incompatible types in assignment" in result.output
    assert "the program ran" not in result.output


def test_an_interrupt_ends_the_program_and_its_children(program: ProgramFactory, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    endless = program(
        f"""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open({str(pids)!r} + ".part", "w") as file:
            file.write(f"{{os.getpid()}} {{child.pid}}")
        os.rename({str(pids)!r} + ".part", {str(pids)!r})
        time.sleep(600)
        """
    )
    command = endless.start("preview")
    try:
        wait_for(command, pids)
        started = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        os.killpg(command.pid, signal.SIGINT)
        command.communicate(timeout=30)
        assert command.returncode != 0
        _, alive = psutil.wait_procs(started, timeout=5)
        assert alive == []
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)


@pytest.mark.parametrize("killed", ["engine", "language host"])
def test_the_program_ends_with_the_process_that_runs_it(plain_engine: Engine, tmp_path: Path, killed: str) -> None:
    pid_file = tmp_path / "pid"
    endless = Program(plain_engine, tmp_path / "endless")
    endless.write(
        f"""
        import os, time
        with open({str(pid_file)!r} + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.rename({str(pid_file)!r} + ".part", {str(pid_file)!r})
        time.sleep(600)
        """
    )
    if not endless.engine.has_standin("language", "python"):
        pytest.skip("the official host leaves the program to the operating system")
    command = endless.start("preview")
    try:
        wait_for(command, pid_file)
        running = psutil.Process(int(pid_file.read_text()))
        host = running.parent()
        assert host is not None
        (host if killed == "language host" else command).kill()
        command.communicate(timeout=30)
        _, alive = psutil.wait_procs([running, host], timeout=10)
        assert alive == []
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)


DYNAMIC = """
    import pulumi
    from pulumi.dynamic import CheckResult, CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

    class Notes(ResourceProvider):
        def create(self, props):
            with open(props["path"], "x") as file:
                file.write(props["text"])
            return CreateResult(props["path"], {**props, "writes": 1})

        def diff(self, id, old, new):
            return DiffResult(
                changes=old["text"] != new["text"] or old["path"] != new["path"],
                replaces=["path"] if old["path"] != new["path"] else [],
            )

        def update(self, id, old, new):
            with open(new["path"], "w") as file:
                file.write(new["text"])
            return UpdateResult({**new, "writes": old["writes"] + 1})

        def delete(self, id, props):
            import os
            os.unlink(props["path"])

    class Note(Resource):
        writes: pulumi.Output[int]

        def __init__(self, name, path, text):
            super().__init__(Notes(), name, {"path": path, "text": text, "writes": None})

    config = pulumi.Config()
    note = Note("note", config.require("path"), config.require("text"))
    pulumi.export("writes", note.writes)
"""


def test_a_dynamic_resource_is_created_updated_replaced_and_deleted(program: ProgramFactory, tmp_path: Path) -> None:
    notes = program(DYNAMIC)
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    notes.configure(path=str(first), text="one")
    assert notes.preview().ok().changes == {"note": "create"}
    assert not first.exists()
    notes.up().ok()
    assert first.read_text() == "one"
    assert notes.up().ok().changes == {}

    notes.configure(path=str(first), text="two")
    assert notes.up().ok().changes == {"note": "update"}
    assert first.read_text() == "two"
    assert notes.outputs() == {"writes": 2}

    notes.configure(path=str(second), text="two")
    assert notes.up().ok().changes == {"note": "replace"}
    assert (first.exists(), second.read_text()) == (False, "two")

    notes.destroy().ok()
    assert not second.exists()


PACK = """
    from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy
    import pulumi

    def long_enough(args, report):
        least = int(pulumi.Config("program").get("least") or 16)
        if args.resource_type == "random:index/randomString:RandomString" and args.props["length"] < least:
            report(f"{args.name} has fewer than {least} characters")

    PolicyPack("strings", [ResourceValidationPolicy("long-enough", "Strings are long enough.", long_enough,
                                                    EnforcementLevel.MANDATORY)])
"""


def write_pack(folder: Path) -> Path:
    pack = folder / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text(
        f"runtime: {{name: python, options: {{toolchain: pip, virtualenv: {sys.prefix}}}}}\n"
    )
    (pack / "__main__.py").write_text("\n".join(line[4:] for line in PACK.splitlines()))
    return pack


def test_a_policy_pack_checks_a_preview_with_the_stacks_configuration(program: ProgramFactory, tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    strings = program("import pulumi_random; pulumi_random.RandomString('token', length=12)")
    refused = strings.preview("--policy-pack", str(pack))
    assert refused.exit_code != 0
    assert "token has fewer than 16 characters" in refused.output
    strings.configure(least="12")
    strings.preview("--policy-pack", str(pack)).ok()


def test_a_policy_pack_checks_an_exported_state(program: ProgramFactory, tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    strings = program("import pulumi_random; pulumi_random.RandomString('token', length=12)")
    strings.up().ok()
    state = tmp_path / "state.json"
    state.write_text(strings.export())
    result = strings.pulumi("policy", "analyze", "--file", str(state), "--policy-pack", str(pack))
    assert result.exit_code != 0
    assert "token has fewer than 16 characters" in result.output


def test_a_policy_pack_that_does_not_start_reports_the_reason(program: ProgramFactory, tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    (pack / "__main__.py").write_text("raise ValueError('no rules here')\n")
    result = program("import pulumi").preview("--policy-pack", str(pack))
    assert result.exit_code != 0
    assert "before it was ready: ValueError: no rules here" in result.output


def test_about_and_plugin_list_know_the_program(plain_engine: Engine, tmp_path: Path) -> None:
    simple = Program(plain_engine, tmp_path / "simple")
    simple.write("import pulumi")
    about = json.loads(simple.pulumi("about", "--json").ok().stdout)
    assert Path(about["runtime"]["executable"]).samefile(sys.executable)
    assert {"python", "kubernetes", "random"} <= {plugin["name"] for plugin in about["plugins"]}
    assert "pulumi-random" in {name["name"].lower().replace("_", "-") for name in about["dependencies"]}
    listed = json.loads(simple.pulumi("plugin", "ls", "--json").ok().stdout)
    assert {"random", "kubernetes"} <= {plugin["name"] for plugin in listed}


def write_wheel(folder: Path, name: str, source: str = "") -> None:
    folder.mkdir(exist_ok=True)
    information = f"{name}-99.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-99.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", source)
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")


def lend_pulumi(environment: Path) -> None:
    """Make the installed packages available in a virtual environment, so that nothing is downloaded."""
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib"))


def test_install_creates_the_virtual_environment_and_shows_its_progress(
    program: ProgramFactory, tmp_path: Path
) -> None:
    for name in ("wheel", "setuptools", "greeting"):
        write_wheel(tmp_path / "wheels", name, "TEXT = 'installed'")
    fresh = program("import sys, greeting; print(greeting.TEXT, sys.prefix)")
    fresh.options({"toolchain": "pip", "virtualenv": "own"})
    fresh.write("greeting==99.0\n", "requirements.txt")
    fresh.variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels"), "PIP_NO_CACHE_DIR": "1"}
    installed = fresh.pulumi("install").ok()
    assert "Successfully installed greeting-99.0" in installed.output
    lend_pulumi(fresh.folder / "own")
    assert fresh.preview().ok().messages("info") == [f"installed {fresh.folder / 'own'}"]


def test_an_unavailable_requirement_fails_the_install(program: ProgramFactory, tmp_path: Path) -> None:
    for name in ("wheel", "setuptools"):
        write_wheel(tmp_path / "wheels", name)
    fresh = program("")
    fresh.options({"toolchain": "pip", "virtualenv": "own"})
    fresh.write("nowhere-to-be-found\n", "requirements.txt")
    fresh.variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    result = fresh.pulumi("install")
    assert result.exit_code != 0
    assert "nowhere-to-be-found" in result.output
    assert "Traceback" not in result.output


def test_the_uv_toolchain_runs_the_program_in_its_synchronized_environment(program: ProgramFactory) -> None:
    project = program("import sys; print(sys.prefix)")
    project.options({"toolchain": "uv"})
    project.write(
        f"""
        [project]
        name = "program"
        version = "0"
        requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"
        """,
        "pyproject.toml",
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    project.variables |= {"PATH": path, "UV_OFFLINE": "1", "UV_PYTHON": sys.executable}
    project.pulumi("install").ok()
    lend_pulumi(project.folder / ".venv")
    assert project.preview().ok().messages("info") == [str(project.folder / ".venv")]
    assert (project.folder / "uv.lock").exists()


def test_stand_ins_are_used_with_a_cli_that_bundles_a_language_host(
    program: ProgramFactory, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of the official CLI takes precedence over the one in PULUMI_HOME."""
    if not engine.has_standin("language", "python"):
        pytest.skip("there is no stand-in")
    bundled = tmp_path / "official" / "pulumi"
    bundled.parent.mkdir()
    shutil.copy2(engine.cli.resolve(), bundled)
    host = bundled.with_name("pulumi-language-python")
    host.write_text("#!/bin/sh\necho the host beside the CLI >&2\nexit 1\n")
    host.chmod(0o755)
    simple = program("print('it runs')")
    simple.engine = dataclasses.replace(engine, cli=bundled)
    assert "the host beside the CLI" in simple.preview().output
    monkeypatch.setenv("PLUGINS", "standin")
    simple.engine = dataclasses.replace(engine, cli=cli(bundled, tmp_path / "cli"))
    assert "it runs" in simple.preview().ok().messages("info")


def wait_for(command: subprocess.Popen[str], file: Path, seconds: float = 30.0) -> None:
    """Wait until the program has written a file."""

    def exists() -> bool:
        assert command.poll() is None, command.communicate()[0]
        return file.exists()

    eventually(exists, f"the program did not write {file.name}", within=seconds)
