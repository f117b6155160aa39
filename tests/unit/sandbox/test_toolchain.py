from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import cache, golang, pins, releases, toolchain
from sandbox.errors import SandboxError
from sandbox.folder import CHECKOUT
from sandbox.toolchain import TOOLS
from tests.waiting import eventually

SYSTEM_PATH = "/usr/bin:/bin"
WORKING_GO = """
for output in "$@"; do [ "$previous" = -o ] && break; previous=$output; done
printf '#!/bin/sh\\necho "etcd Version: {version}"\\n' > "$output"
chmod +x "$output"
"""


def executable(file: Path, body: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def fake_go(folder: Path, build: str, version: str = "go1.99.1") -> None:
    executable(folder / "go", f'if [ "$1" = env ]; then echo {version}; exit; fi\n{build}')


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH; the cache is empty and no release can be downloaded."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{SYSTEM_PATH}")
    monkeypatch.setenv("LANGFUSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SANDBOX_OFFLINE", "1")
    return folder


def leftovers(folder: Path) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.name not in {"tools", "lock"}]


def test_every_tool_is_pinned_once_with_its_checksums() -> None:
    for tool in TOOLS.values():
        pinned = pins.module_version(tool.folder, tool.module)
        assert f"{tool.module} {pinned} h1:" in (pins.TOOLS / tool.folder / "go.sum").read_text()
        words = (pins.TOOLS / tool.folder / "go.mod").read_text().split()
        assert tool.package in words


def test_versions_are_those_that_the_tools_print() -> None:
    assert TOOLS["kubectl"].version == pins.module_version("kubernetes", "k8s.io/kubernetes").removeprefix("v")
    assert TOOLS["minio"].version == pins.module_version("minio", "github.com/minio/minio")[-12:]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etcd", "etcd Version: {version}\nGit SHA: Not provided\nGo Version: go1.26.8\n"),
        ("kwok", "kwok version {version} go1.26.8 (linux/amd64)\n"),
        ("kwok", "kwok version v{version} go1.26.8 (linux/amd64)\n"),
        ("kubectl", "Client Version: v{version}\nKustomize Version: v5.8.1\n"),
        ("kube-apiserver", "Kubernetes v{version}\n"),
        ("pulumi", "v{version}\n"),
        ("minio", "minio version DEVELOPMENT.2026 (commit-id={version})\nRuntime: go1.26.8\n"),
        ("mc", "mc version RELEASE.2025 (commit-id={version}00112233)\n"),
    ],
)
def test_a_tool_on_path_is_used_only_in_exactly_the_pinned_version(path: Path, name: str, text: str) -> None:
    tool = TOOLS[name]
    found = executable(path / name, f"cat <<'END'\n{text.format(version=tool.version)}END")
    assert toolchain.installed(tool) == found
    executable(path / name, f"cat <<'END'\n{text.format(version='9.9.9')}END")
    assert toolchain.installed(tool) is None
    executable(path / name, f"cat <<'END'\n{text.format(version=tool.version + '-rc.1')}END")
    if name not in {"minio", "mc"}:
        assert toolchain.installed(tool) is None


def test_a_tool_on_path_that_does_not_run_is_ignored(path: Path) -> None:
    (path / "etcd").write_bytes(b"\x7fELF garbage")
    (path / "etcd").chmod(0o755)
    assert toolchain.installed(TOOLS["etcd"]) is None


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_releases_are_named_for_the_platform(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("sys.platform", "linux")
    go, pulumi = {"x86_64": ("amd64", "x64"), "aarch64": ("arm64", "arm64")}[machine]
    etcd, kubectl, cli = (TOOLS[name].filled_release() for name in ("etcd", "kubectl", "pulumi"))
    assert etcd
    assert kubectl
    assert cli
    assert etcd.member == f"etcd-v{TOOLS['etcd'].version}-linux-{go}/etcd"
    assert kubectl.url.endswith(f"/linux/{go}/kubectl")
    assert cli.url.endswith(f"-linux-{pulumi}.tar.gz")
    for name in ("kwok", "minio", "mc"):
        assert TOOLS[name].filled_release() is None


def test_the_cache_key_includes_everything_that_affects_a_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = TOOLS["etcd"]
    before = toolchain.cache_folder(tool)
    assert toolchain.cache_folder(tool) == before
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert toolchain.cache_folder(tool) != before
    monkeypatch.undo()
    copy = tmp_path / "tools"
    for file in ("go.mod", "go.sum"):
        (copy / "etcd").mkdir(parents=True, exist_ok=True)
        (copy / "etcd" / file).write_bytes((pins.TOOLS / "etcd" / file).read_bytes())
    monkeypatch.setattr(pins, "TOOLS", copy)
    assert toolchain.cache_folder(tool) == before
    (copy / "etcd" / "go.sum").write_text("changed")
    assert toolchain.cache_folder(tool) != before


def test_a_missing_tool_is_built_once_and_then_found(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_go(path, WORKING_GO.format(version=TOOLS["etcd"].version))
    built = toolchain.ensure(["etcd"])["etcd"]
    assert f"[1/1] etcd {TOOLS['etcd'].version}: done in" in capsys.readouterr().err
    (path / "go").unlink()
    assert toolchain.ensure(["etcd"]) == {"etcd": built}
    assert capsys.readouterr().err == ""


def test_a_release_is_preferred_to_a_build(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = TOOLS["etcd"].version

    def install(_release: object, name: str, folder: Path, _hosts: object) -> None:
        executable(folder / name, f'echo "etcd Version: {version}"')

    monkeypatch.setattr(releases, "install", install)
    fake_go(path, "echo built >&2; exit 1")
    assert toolchain.ensure(["etcd"])["etcd"].parent == toolchain.cache_folder(TOOLS["etcd"])


def test_a_rejected_release_is_deleted_and_the_tool_is_built(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(_release: object, name: str, folder: Path, _hosts: object) -> None:
        (folder / f"{name}.download").write_text("tampered")
        raise releases.UnavailableError("wrong checksum")

    monkeypatch.setattr(releases, "install", install)
    fake_go(path, WORKING_GO.format(version=TOOLS["etcd"].version))
    built = toolchain.ensure(["etcd"])["etcd"]
    assert [file.name for file in built.parent.iterdir()] == ["etcd"]
    assert "wrong checksum" in capsys.readouterr().err


def test_a_build_of_another_version_is_an_error(path: Path) -> None:
    fake_go(path, WORKING_GO.format(version="0.0.1"))
    with pytest.raises(SandboxError, match=r"etcd reports version 0\.0\.1"):
        toolchain.ensure(["etcd"])
    assert leftovers(cache.root()) == []


@pytest.mark.parametrize(
    ("output", "problem", "fix"),
    [
        ("write /big/b001/_pkg_.a: no space left on device", r"building etcd: no space left .*_pkg_\.a", "GOCACHE"),
        ("go: x@v1: Get https://example: dial tcp: lookup example: no such host", "registry cannot", "GOPROXY"),
        ("go: x@v1: Get https://u:hunter2@example/x: connection refused", "registry cannot", "GOPROXY"),
        ("verifying x@v1: checksum mismatch", r"checksum in .*go\.sum", "modcache"),
        ("link: signal: killed", "out of memory", "memory"),
        ("main.go:1: syntax error", "syntax error", "run the same command again"),
    ],
)
def test_a_failed_build_is_one_clear_error(path: Path, output: str, problem: str, fix: str) -> None:
    fake_go(path, f"echo '{output}' >&2; exit 1")
    with pytest.raises(SandboxError, match=problem) as caught:
        toolchain.ensure(["etcd"])
    assert fix in caught.value.fix
    assert "hunter2" not in str(caught.value)
    assert leftovers(cache.root()) == []


def test_an_unreachable_registry_is_one_clear_error(tmp_path: Path) -> None:
    go = golang.find()
    if go is None:
        pytest.skip("needs a Go toolchain")
    module = tmp_path / "module"
    module.mkdir()
    for file in ("go.mod", "go.sum"):
        (module / file).write_bytes((pins.TOOLS / "crds" / file).read_bytes())
    environment = go.environment | {"GOPROXY": "http://127.0.0.1:9", "GOMODCACHE": str(tmp_path / "mod")}
    object.__setattr__(go, "environment", environment)
    version = pins.module_version("crds", "istio.io/api")
    with pytest.raises(SandboxError, match=r"downloading istio\.io/api: the package registry cannot be reached"):
        go.module_folder("istio.io/api", version, module)


def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(SandboxError, match=r"no space left on device: /dev/full"), cache.disk_errors_explained("x"):
        raise OSError(28, "No space left on device", "/dev/full")


def test_an_unwritable_cache_is_one_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path / "file").write_text("")
    monkeypatch.setenv("LANGFUSE_CACHE_DIR", str(path / "file" / "cache"))
    with pytest.raises(SandboxError, match="cannot write") as caught:
        toolchain.ensure(["etcd"])
    assert "LANGFUSE_CACHE_DIR" in caught.value.fix


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_no_files_and_stops_its_compiler(path: Path, stop: signal.Signals) -> None:
    fake_go(path, f"echo $$ > {path}/pid; exec sleep 60")
    command = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "tools", "etcd"], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: (path / "pid").exists() and bool((path / "pid").read_text().strip()), within=20)
    command.send_signal(stop)
    _, errors = command.communicate(timeout=20)
    assert command.returncode == 130
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert leftovers(cache.root()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((path / "pid").read_text()), 0)


def test_files_of_a_killed_run_are_removed_by_the_next(path: Path) -> None:
    partial = cache.root() / "tools" / f"{cache.PARTIAL_PREFIX}x"
    partial.mkdir(parents=True)
    (partial / "half").write_text("half")
    fake_go(path, WORKING_GO.format(version=TOOLS["etcd"].version))
    toolchain.ensure(["etcd"])
    assert not partial.exists()


def test_an_old_go_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(path, "exit 1", version="go1.20.3")
    assert golang.find() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SandboxError, match="neither pip nor uv"):
        toolchain.ensure(["etcd"])


def test_builds_use_the_registry_of_the_caller_but_not_other_go_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOFLAGS", "GOOS", "GOROOT", "CGO_ENABLED", "GOEXPERIMENT", "GOPROXY", "GOPRIVATE", "GONOSUMDB"):
        monkeypatch.setenv(name, "the caller's")
    environment = golang.Go(Path("go")).environment
    assert {name for name, value in environment.items() if value == "the caller's"} == {
        "GOPROXY",
        "GOPRIVATE",
        "GONOSUMDB",
    }
    assert environment["CGO_ENABLED"] == "0"
    assert environment["GOTOOLCHAIN"] == "local"


def test_an_unknown_tool_is_an_error() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox", "tools", "etcdd"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "unknown tool: etcdd" in result.stderr
    assert "Traceback" not in result.stderr
