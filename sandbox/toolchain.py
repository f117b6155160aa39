"""The command-line tools of the project in their pinned versions: found, downloaded or built.

A tool comes from the first of these: PATH, if it has exactly the pinned version; the cache; the official release, if it
can be downloaded; a build from the pinned Go modules. Nothing needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sandbox import cache, golang, pins, releases
from sandbox.errors import SandboxError
from sandbox.progress import Progress, say
from sandbox.releases import Release

_GITHUB = "https://github.com"
LINUX = frozenset({"linux"})
SUPPORTED = frozenset({"linux", "darwin"})


@dataclass(frozen=True)
class Tool:
    """An executable. Fields in braces in its URLs and linker values are replaced with `placeholders()`."""

    name: str
    folder: str  # under sandbox/tools: the Go module that pins it
    module: str  # the pinned module whose version is the tool's
    package: str  # the Go main package
    version_arguments: tuple[str, ...]  # arguments that print its version
    version_pattern: str  # regular expression whose first group is the version in that output
    linker_values: tuple[str, ...] = ()  # variables that official builds set
    release: Release | None = None
    platforms: frozenset[str] = LINUX  # systems with official releases
    systems: frozenset[str] = SUPPORTED  # systems that need the tool
    tags: tuple[str, ...] = ()  # build tags

    @property
    def version(self) -> str:
        """The pinned version as the tool prints it: without a leading `v`, or the commit of an untagged version."""
        pinned = pins.module_version(self.folder, self.module)
        commit = pins.commit_of(pinned)
        return commit[1] if commit else pinned.removeprefix("v")

    def placeholders(self) -> dict[str, str]:
        """The values of the fields in URLs and linker values."""
        system, architecture = pins.platform_name()
        pinned = pins.module_version(self.folder, self.module)
        values = {"version": self.version, "system": system, "architecture": architecture}
        values["pulumi_architecture"] = {"amd64": "x64"}.get(architecture, architecture)
        values["major"], values["minor"] = pinned.removeprefix("v").split(".")[:2]
        if commit := pins.commit_of(pinned):
            values["time"] = f"{commit[0]:%Y-%m-%dT%H:%M:%SZ}"
            values["tag_time"] = f"{commit[0]:%Y-%m-%dT%H-%M-%SZ}"
        return values

    def filled_linker_values(self) -> tuple[str, ...]:
        """The `-X` values of the linker for the pinned version."""
        return tuple(value.format(**self.placeholders()) for value in self.linker_values)

    def filled_release(self) -> Release | None:
        """The official release for this platform; None if there is none with a checksum."""
        if not self.release or pins.platform_name()[0] not in self.platforms:
            return None
        values = self.placeholders()
        member = self.release.member and self.release.member.format(**values)
        return Release(self.release.url.format(**values), self.release.checksum_url.format(**values), member)


def _kubernetes(
    name: str,
    version_arguments: tuple[str, ...],
    platforms: frozenset[str] = LINUX,
    systems: frozenset[str] = SUPPORTED,
) -> Tool:
    url = f"https://dl.k8s.io/v{{version}}/bin/{{system}}/{{architecture}}/{name}"
    return Tool(
        name,
        "kubernetes",
        "k8s.io/kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        version_arguments,
        r"v([\d.]+\S*)",
        tuple(
            f"k8s.io/{library}.git{value}"
            for library in ("component-base/version", "client-go/pkg/version")
            for value in ("Version=v{version}", "Major={major}", "Minor={minor}")
        ),
        Release(url, f"{url}.sha256"),
        platforms,
        systems,
    )


_PULUMI = _GITHUB + "/pulumi/pulumi/releases/download/v{version}/"
_ACTIONLINT = _GITHUB + "/rhysd/actionlint/releases/download/v{version}/"
_ETCD = _GITHUB + "/etcd-io/etcd/releases/download/v{version}/"
_VERSION_FLAG = ("--version",)

# In build order: the fastest first, so that a problem shows early. kwok publishes no checksums and MinIO no longer
# publishes releases, so these are always built.
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "actionlint",
            "actionlint",
            "github.com/rhysd/actionlint",
            "github.com/rhysd/actionlint/cmd/actionlint",
            _VERSION_FLAG,
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
            _VERSION_FLAG,
            r"etcd Version: (\S+)",
            release=Release(
                _ETCD + "etcd-v{version}-{system}-{architecture}.tar.gz",
                _ETCD + "SHA256SUMS",
                "etcd-v{version}-{system}-{architecture}/etcd",
            ),
        ),
        Tool("kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok", _VERSION_FLAG, r"version v?(\d[\w.+-]*)"),
        _kubernetes("kubectl", ("version", "--client"), frozenset({"linux", "darwin"})),
        _kubernetes("kube-scheduler", _VERSION_FLAG),
        _kubernetes("kube-controller-manager", _VERSION_FLAG),
        _kubernetes("kube-apiserver", _VERSION_FLAG),
        _kubernetes("kube-proxy", _VERSION_FLAG, systems=LINUX),
        _kubernetes("kubelet", _VERSION_FLAG, systems=LINUX),
        Tool(  # with the plugins that a cluster needs, so it is always built
            "coredns",
            "coredns",
            "github.com/coredns/coredns",
            "sandbox/coredns",
            ("-version",),
            r"CoreDNS-(\S+)",
            systems=LINUX,
        ),
        Tool(  # with S3 alone, so it is always built
            "rclone",
            "rclone",
            "github.com/rclone/rclone",
            "sandbox/rclone",
            ("version",),
            r"rclone v(\d[\d.]*\d)",
            ("github.com/rclone/rclone/fs.Version=v{version}",),
        ),
        Tool(
            "oauth2-proxy",
            "oauth2-proxy",
            "github.com/oauth2-proxy/oauth2-proxy/v7",
            "github.com/oauth2-proxy/oauth2-proxy/v7",
            _VERSION_FLAG,
            r"oauth2-proxy v?(\S+)",
            ("github.com/oauth2-proxy/oauth2-proxy/v7/pkg/version.VERSION=v{version}",),
        ),
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
                _VERSION_FLAG,
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
    if sys.platform in tool.systems
}


# For the tests of alerts and of metrics alone. Without the discovery of servers in clouds, promtool takes a few minutes
# to build, and its release has the whole of Prometheus.
PROMTOOL = Tool(
    "promtool",
    "prometheus",
    "github.com/prometheus/prometheus",
    "github.com/prometheus/prometheus/cmd/promtool",
    _VERSION_FLAG,
    r"promtool, version (\S+)",
    ("github.com/prometheus/common/version.Version={version}",),
    tags=("remove_all_sd",),
)
STATSD_EXPORTER = Tool(
    "statsd_exporter",
    "prometheus",
    "github.com/prometheus/statsd_exporter",
    "github.com/prometheus/statsd_exporter",
    _VERSION_FLAG,
    r"statsd_exporter, version (\S+)",
    ("github.com/prometheus/common/version.Version={version}",),
)


def cache_folder(tool: Tool) -> Path:
    """The cache folder of a tool. Its name ends with a hash of everything that affects the build."""
    key = pins.key(tool.folder, tool.package, *tool.filled_linker_values(), *tool.tags)
    return cache.root() / "tools" / f"{tool.name}-{tool.version}-{key}"


def installed(tool: Tool) -> Path | None:
    """The existing tool in the pinned version, on PATH or in the cache."""
    in_cache = cache_folder(tool) / tool.name
    if found := shutil.which(tool.name):
        path = Path(found).resolve()
        # The links in a sandbox's `bin` folder lead to the cache, which need not be checked.
        if not path.is_relative_to(cache.root()) and reported_version(tool, path) == tool.version:
            return path
    return in_cache if in_cache.exists() else None


def reported_version(tool: Tool, executable: str | Path) -> str | None:
    """The version that an executable prints; None if it prints none."""
    try:
        output = subprocess.run(
            [executable, *tool.version_arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(tool.version_pattern, output)
    return match[1] if match else None


def ensure(names: Iterable[str] = TOOLS) -> dict[str, Path]:
    """Return the executable of each named tool; download or build those that are missing."""
    tools = [tool for name, tool in TOOLS.items() if name in set(names)]
    with ThreadPoolExecutor() as pool:
        found = dict(zip((tool.name for tool in tools), pool.map(installed, tools), strict=True))
    missing = [tool for tool in tools if not found[tool.name]]
    if missing:
        found |= _create(missing)
    return {name: path for name, path in found.items() if path}


def ensure_tool(tool: Tool) -> Path:
    """Return the executable of a tool that is not in `TOOLS`; download or build it if it is missing."""
    return installed(tool) or _create([tool])[tool.name]


def _create(missing: list[Tool]) -> dict[str, Path]:
    folder = cache.root() / "tools"
    with cache.disk_errors_explained("preparing the tools"):
        folder.mkdir(parents=True, exist_ok=True)
        with locked():
            cache.tidy(folder)
            hosts = releases.Hosts(cache.root() / "unreachable.json")
            progress = Progress(len(missing))
            return {tool.name: _create_one(tool, hosts, progress) for tool in missing}


def locked() -> AbstractContextManager[None]:
    """Lock the cache, so that two checkouts never build at the same time."""
    return cache.exclusive(cache.root() / "lock", lambda: say("waiting for another run that prepares the tools"))


def _create_one(tool: Tool, hosts: releases.Hosts, progress: Progress) -> Path:
    with progress.step(f"{tool.name} {tool.version}"):
        target = cache_folder(tool)
        if not (target / tool.name).exists():  # another checkout may have created it meanwhile
            with cache.published(target) as folder:
                if not _downloaded(tool, folder, hosts):
                    go = golang.find() or golang.fetch()
                    go.build(
                        tool.package,
                        pins.TOOLS / tool.folder,
                        tool.filled_linker_values(),
                        folder / tool.name,
                        tags=tool.tags,
                    )
                if (reported := reported_version(tool, folder / tool.name)) != tool.version:
                    raise SandboxError(
                        f"{tool.name} reports version {reported}, not the pinned {tool.version}",
                        "this is a bug of this project: please report it with the name and version of your system",
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
