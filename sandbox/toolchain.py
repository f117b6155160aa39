"""Every command-line tool of the project in its pinned version: found, downloaded or built.

For each tool, in this order: one on PATH of exactly the pinned version, the cache, the official release when it can be
downloaded, a build from the pinned Go modules. Nothing needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import cache, golang, pins, releases
from sandbox.errors import SandboxError
from sandbox.progress import Steps, say
from sandbox.releases import Release

_GITHUB = "https://github.com"


@dataclass(frozen=True)
class Tool:
    """One executable. Text in braces is filled in with the fields of `words`."""

    name: str
    folder: str  # under sandbox/tools: the Go module that pins it
    module: str  # the pinned module whose version is the tool's
    package: str  # the Go main package
    ask: tuple[str, ...]  # arguments that make it tell its version
    answer: str  # regular expression whose first group is that version
    linker_values: tuple[str, ...] = ()  # variables that upstream sets when it builds a release
    release: Release | None = None
    platforms: frozenset[str] = field(default=frozenset({"linux"}))  # systems that upstream publishes it for

    @property
    def version(self) -> str:
        """The pinned version as the tool itself prints it: without a leading `v`, or the commit of an untagged one."""
        pinned = pins.module_version(self.folder, self.module)
        commit = pins.commit_of(pinned)
        return commit[1] if commit else pinned.removeprefix("v")

    def words(self) -> dict[str, str]:
        """What the URLs and linker values of this tool may name."""
        system, architecture = pins.platform_name()
        pinned = pins.module_version(self.folder, self.module)
        words = {"version": self.version, "system": system, "architecture": architecture}
        words["pulumi_architecture"] = {"amd64": "x64"}.get(architecture, architecture)
        words["major"], words["minor"] = pinned.removeprefix("v").split(".")[:2]
        if commit := pins.commit_of(pinned):
            words["time"] = f"{commit[0]:%Y-%m-%dT%H:%M:%SZ}"
            words["tag_time"] = f"{commit[0]:%Y-%m-%dT%H-%M-%SZ}"
        return words

    def filled_linker_values(self) -> tuple[str, ...]:
        """The linker's `-X` values for the pinned version."""
        return tuple(value.format(**self.words()) for value in self.linker_values)

    def filled_release(self) -> Release | None:
        """The official release for this platform; None where upstream has none with a checksum."""
        if not self.release or pins.platform_name()[0] not in self.platforms:
            return None
        words = self.words()
        member = self.release.member and self.release.member.format(**words)
        return Release(self.release.url.format(**words), self.release.checksum_url.format(**words), member)


def _kubernetes(name: str, ask: tuple[str, ...], platforms: frozenset[str] = frozenset({"linux"})) -> Tool:
    url = f"https://dl.k8s.io/v{{version}}/bin/{{system}}/{{architecture}}/{name}"
    return Tool(
        name,
        "kubernetes",
        "k8s.io/kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        ask,
        r"v([\d.]+\S*)",
        tuple(
            f"k8s.io/{library}.git{value}"
            for library in ("component-base/version", "client-go/pkg/version")
            for value in ("Version=v{version}", "Major={major}", "Minor={minor}")
        ),
        Release(url, f"{url}.sha256"),
        platforms,
    )


_PULUMI = _GITHUB + "/pulumi/pulumi/releases/download/v{version}/"
_ACTIONLINT = _GITHUB + "/rhysd/actionlint/releases/download/v{version}/"
_ETCD = _GITHUB + "/etcd-io/etcd/releases/download/v{version}/"
_SERVER_VERSION = ("--version",)

# In the order in which they are built: the cheapest first, so that whatever is wrong shows early.
# kwok publishes no checksums and MinIO no releases at all any more, so these are always built.
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "actionlint",
            "actionlint",
            "github.com/rhysd/actionlint",
            "github.com/rhysd/actionlint/cmd/actionlint",
            _SERVER_VERSION,
            r"^v?(\d\S+)",
            release=Release(
                _ACTIONLINT + "actionlint_{version}_{system}_{architecture}.tar.gz",
                _ACTIONLINT + "actionlint_{version}_checksums.txt",
                "actionlint",
            ),
        ),
        Tool(
            "etcd",
            "etcd",
            "go.etcd.io/etcd/server/v3",
            "go.etcd.io/etcd/server/v3",
            _SERVER_VERSION,
            r"etcd Version: (\S+)",
            release=Release(
                _ETCD + "etcd-v{version}-{system}-{architecture}.tar.gz",
                _ETCD + "SHA256SUMS",
                "etcd-v{version}-{system}-{architecture}/etcd",
            ),
        ),
        Tool(
            "kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok", _SERVER_VERSION, r"version v?(\d[\w.+-]*)"
        ),
        _kubernetes("kubectl", ("version", "--client"), frozenset({"linux", "darwin"})),
        _kubernetes("kube-scheduler", _SERVER_VERSION),
        _kubernetes("kube-controller-manager", _SERVER_VERSION),
        _kubernetes("kube-apiserver", _SERVER_VERSION),
        Tool(
            "pulumi",
            "pulumi",
            "github.com/pulumi/pulumi/pkg/v3",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            ("version",),
            r"v(\S+)",
            ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",),
            Release(
                _PULUMI + "pulumi-v{version}-{system}-{pulumi_architecture}.tar.gz",
                _PULUMI + "pulumi-{version}-checksums.txt",
                "pulumi/pulumi",
            ),
            frozenset({"linux", "darwin"}),
        ),
        *(
            Tool(
                name,
                "minio",
                f"github.com/minio/{name}",
                f"github.com/minio/{name}",
                _SERVER_VERSION,
                r"commit-id=([0-9a-f]{12})",
                (
                    f"github.com/minio/{name}/cmd.Version={{time}}",
                    f"github.com/minio/{name}/cmd.ReleaseTag=DEVELOPMENT.{{tag_time}}",
                    f"github.com/minio/{name}/cmd.CommitID={{version}}",
                    f"github.com/minio/{name}/cmd.ShortCommitID={{version}}",
                ),
            )
            for name in ("mc", "minio")
        ),
    )
}


def cache_folder(tool: Tool) -> Path:
    """Where a tool lives in the cache: named for people, keyed by everything that shapes it."""
    key = pins.key(tool.folder, tool.package, *tool.filled_linker_values())
    return cache.root() / "tools" / f"{tool.name}-{tool.version}-{key}"


def installed(tool: Tool) -> Path | None:
    """The tool where it is already: on PATH in the pinned version, or in the cache."""
    in_cache = cache_folder(tool) / tool.name
    if found := shutil.which(tool.name):
        path = Path(found).resolve()
        # A sandbox's folder of links on PATH leads into the cache, which answers for itself.
        if not path.is_relative_to(cache.root()) and reported_version(tool, path) == tool.version:
            return path
    return in_cache if in_cache.exists() else None


def reported_version(tool: Tool, executable: str | Path) -> str | None:
    """The version that an executable tells of itself; None when it does not answer."""
    try:
        answer = subprocess.run(  # a tool of the table above
            [executable, *tool.ask],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(tool.answer, answer.stdout)
    return match[1] if match else None


def ensure(names: Iterable[str] = TOOLS) -> dict[str, Path]:
    """The executable of each named tool, downloaded or built where it is missing."""
    tools = [tool for name, tool in TOOLS.items() if name in set(names)]
    with ThreadPoolExecutor() as pool:
        found = dict(zip((tool.name for tool in tools), pool.map(installed, tools), strict=True))
    missing = [tool for tool in tools if not found[tool.name]]
    if missing:
        found |= _make(missing)
    return {name: path for name, path in found.items() if path}


def ensure_tool(tool: Tool) -> Path:
    """The executable of a tool that is not in the table, because few need it."""
    return installed(tool) or _make([tool])[tool.name]


def _make(missing: list[Tool]) -> dict[str, Path]:
    folder = cache.root() / "tools"
    with cache.disk_errors_explained("preparing the tools"):
        folder.mkdir(parents=True, exist_ok=True)
        with locked():
            cache.tidy(folder)
            hosts = releases.Hosts(cache.root() / "unreachable.json")
            steps = Steps(len(missing))
            return {tool.name: _make_one(tool, hosts, steps) for tool in missing}


def locked() -> AbstractContextManager[None]:
    """Hold the cache: two checkouts never build at the same time."""
    return cache.exclusive(cache.root() / "lock", lambda: say("another run is preparing the tools; waiting for it"))


def _make_one(tool: Tool, hosts: releases.Hosts, steps: Steps) -> Path:
    with steps.step(f"{tool.name} {tool.version}"):
        target = cache_folder(tool)
        if not (target / tool.name).exists():  # else another checkout made it while we waited
            with cache.published(target) as folder:
                if not _downloaded(tool, folder, hosts):
                    go = golang.find() or golang.fetch()
                    go.build(tool.package, pins.TOOLS / tool.folder, tool.filled_linker_values(), folder / tool.name)
                if (reported := reported_version(tool, folder / tool.name)) != tool.version:
                    raise SandboxError(
                        f"{tool.name} says that its version is {reported}, not the pinned {tool.version}",
                        "this is a fault of the project: please report it with the name and version of your system",
                    )
        return target / tool.name


def _downloaded(tool: Tool, folder: Path, hosts: releases.Hosts) -> bool:
    release = tool.filled_release()
    if release is None:
        return False
    try:
        releases.install(release, tool.name, folder, hosts)
    except releases.UnavailableError as error:
        say(f"{tool.name}: no official release ({error}); building it from its Go modules")
        for leftover in folder.iterdir():
            leftover.unlink()
        return False
    return True
