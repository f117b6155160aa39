from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python import probe
from sandbox.plugins.language_python.packages import (
    dependency,
    plugin_version_of,
    program_dependencies,
    required_packages,
)
from sandbox.plugins.language_python.toolchain import resolve


@pytest.mark.parametrize(
    ("package", "plugin"),
    [
        ("1", "1.0.0"),
        ("4.21.4", "4.21.4"),
        ("1.2.3a4", "1.2.3-alpha.4"),
        ("1.2b4", "1.2.0-beta.4"),
        ("1.2.3rc4", "1.2.3-rc.4"),
        ("1.2.3.post4", "1.2.3+post4"),
        ("1.2.3.dev5", "1.2.3+dev5"),
        ("1.2.3.post4.dev5", "1.2.3+post4dev5"),
        ("1!2.3", None),
        ("1.2.3+local", None),
        ("", None),
    ],
)
def test_a_package_version_maps_to_its_plugin_version(package: str, plugin: str | None) -> None:
    assert plugin_version_of(package) == plugin


def test_the_plugin_file_overrides_the_package_name() -> None:
    found = dependency(
        "pulumi-thing", "1.0", {"resource": True, "name": "other", "version": "2.0.0", "server": "https://x"}
    )
    assert found is not None
    assert (found.name, found.version, found.server, found.kind) == ("other", "v2.0.0", "https://x", "resource")


def test_a_plugin_without_a_plugin_file_has_the_name_of_its_package() -> None:
    found = dependency("pulumi-thing", "1.0", None)
    assert found is not None
    assert (found.name, found.version) == ("thing", "v1.0.0")


@pytest.mark.parametrize(("name", "plugin"), [("pulumi-policy", None), ("pulumi-thing", {"resource": False})])
def test_a_package_that_needs_no_plugin_is_left_out(name: str, plugin: dict[str, object] | None) -> None:
    assert dependency(name, "1.0", plugin) is None


def test_a_parameterized_package_keeps_its_parameters() -> None:
    value = base64.b64encode(b"schema").decode()
    parameters = {"name": "sub", "version": "1.0.0", "value": value}
    found = dependency("pulumi-sub", "1.0", {"resource": True, "name": "base", "parameterization": parameters})
    assert found is not None
    assert (found.parameterization.name, found.parameterization.value) == ("sub", b"schema")


def test_the_projects_environment_needs_its_two_providers_in_their_own_versions() -> None:
    tools = resolve("/", "/", {"toolchain": "pip", "virtualenv": sys.prefix})
    found = {package.name: package.version for package in required_packages(tools)}
    folder = Path(sys.prefix, "lib", f"python3.{sys.version_info.minor}", "site-packages")
    for name in ("kubernetes", "random"):
        described = json.loads((folder / f"pulumi_{name}" / "pulumi-plugin.json").read_text())
        assert found[name] == f"v{described['version']}"
    assert set(found) == {"kubernetes", "random"}


def test_program_dependencies_are_all_packages_or_the_direct_ones() -> None:
    tools = resolve("/", "/", {"toolchain": "pip", "virtualenv": sys.prefix})
    everything = {package.name.lower() for package in program_dependencies(tools, transitive=True)}
    direct = {package.name.lower() for package in program_dependencies(tools, transitive=False)}
    assert "grpcio" in everything - direct
    assert direct < everything


def test_an_interpreter_that_does_not_run_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.write_text("not a program")
    python.chmod(0o755)
    with pytest.raises(PluginError, match="does not work"):
        required_packages(resolve(str(tmp_path), str(tmp_path), {"virtualenv": "venv"}))


@pytest.mark.parametrize("name", probe.PROBES)
def test_a_probe_returns_the_same_in_this_process_as_in_another(tmp_path: Path, name: str) -> None:
    (tmp_path / "pulumi_local-1.2.egg-info").mkdir()
    (tmp_path / "pulumi_local").mkdir()
    (tmp_path / "pulumi_local" / "pulumi-plugin.json").write_text('{"resource": true}')
    command = [sys.executable, probe.__file__, name, str(tmp_path)]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert probe.PROBES[name](str(tmp_path)) == answer
    if name == "pulumi_packages":
        assert answer["pulumi_local"] == {"version": "1.2", "plugin": {"resource": True}}
