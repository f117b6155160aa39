"""Layers of Debian packages, made with debootstrap and apt in a chroot.

The packages are those that Debian's mirror has on the day of the build, verified against Debian's keys. The file
`packages.txt` beside a layer lists their versions. Building needs Linux and root. Every command runs in mount and
process namespaces of its own, so a build that is killed leaves neither a mount nor a process.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from sandbox import pins
from sandbox.errors import SandboxError
from sandbox.images import layers
from sandbox.images.oci import Contents
from sandbox.images.recipe import WORK, Layer

SUITE = "trixie"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")

BASE_PACKAGES = ("ca-certificates", "curl")
"""On top of Debian's minimal system: `minio` is probed with curl, and `mc` and Langfuse verify public certificates."""

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_CONFIGURATION = """\
# Images need no documentation, and a build need not survive a power cut.
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
force-unsafe-io
"""

_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),  # ends with this process
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
)

_DEBOOTSTRAP = """
debootstrap --foreign --variant=minbase --arch="$ARCHITECTURE" --include="$PACKAGES" --keyring="$KEYRING" \
    "$SUITE" "$ROOT" "$MIRROR"
printf %s "$CONFIGURATION" > "$ROOT/etc/dpkg/dpkg.cfg.d/image"
chroot "$ROOT" /debootstrap/debootstrap --second-stage
printf 'deb %s %s main\\n' "$MIRROR" "$SUITE" > "$ROOT/etc/apt/sources.list"
chroot "$ROOT" dpkg-query --show > "$RECORD"
"""

# The chroot gets devices of its own and never a mount of the host's: what a package's script deletes there would be
# deleted on the host.
_INSTALL = """
mkdir "$ROOT"
tar -xpf "$LOWER" --numeric-owner -C "$ROOT"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
mknod -m 666 "$ROOT/dev/null" c 1 3
mknod -m 666 "$ROOT/dev/zero" c 1 5
mknod -m 666 "$ROOT/dev/random" c 1 8
mknod -m 666 "$ROOT/dev/urandom" c 1 9
ln -s /proc/self/fd "$ROOT/dev/fd"
mkdir -m 1777 "$ROOT/dev/shm"
mount -t proc -o ro proc "$ROOT/proc"
cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$ROOT/usr/sbin/policy-rc.d" # starts no services (invoke-rc.d(8))
chmod 755 "$ROOT/usr/sbin/policy-rc.d"
cat > "$ROOT/install" <<'END'
set -eu
%(before)s
apt-get update --quiet --quiet
apt-get install --quiet --quiet --yes --no-install-recommends --option Dpkg::Use-Pty=0 %(packages)s
%(after)s
END
chroot "$ROOT" sh /install
chroot "$ROOT" dpkg-query --show > "$RECORD"
"""

_LEFT_OUT = (
    *("/debootstrap", "/install", "/usr/sbin/policy-rc.d"),
    *("/etc/hostname", "/etc/resolv.conf", "/etc/.pwd.lock", "/etc/*-"),
    *("/dev/*", "/proc/*", "/sys/*", "/run/*", "/tmp/*", "/var/tmp/*", "/var/cache/*", "/var/log/*"),  # noqa: S108  # paths in the image
    *("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*"),
    *("/var/lib/apt/lists/*", "/var/lib/dpkg/*-old"),
)
"""Patterns of paths that the layers do not contain. They are left out when the layer is written. Nothing is deleted
while a chroot has mounts."""


def base(suite: str = SUITE) -> Layer:
    """Debian's minimal system with curl and the certificates of public CAs."""

    def fill(contents: Contents, folder: Path) -> None:
        _check_host()
        _run(_DEBOOTSTRAP, folder, suite, PACKAGES=",".join(BASE_PACKAGES), CONFIGURATION=_CONFIGURATION)
        contents.tree(folder / WORK, without=_LEFT_OUT)

    return Layer(name=f"debian-{suite}", inputs=(*BASE_PACKAGES, _CONFIGURATION, _DEBOOTSTRAP, *_LEFT_OUT), fill=fill)


def packages(name: str, *names: str, before: str = "", after: str = "", suite: str = SUITE) -> Layer:
    """A layer of packages on `base(suite)`.

    `before` and `after` are shell commands that run in the image before the packages are installed and after it, as
    root: they can add users and remove files.
    """
    lower = base(suite)
    script = _INSTALL % {"before": before, "packages": " ".join(names), "after": after}

    def fill(contents: Contents, folder: Path) -> None:
        _check_host()
        tar = layers.ensure(lower)
        _run(script, folder, suite, LOWER=str(tar))
        contents.tree(folder / WORK, without=_LEFT_OUT)
        contents.subtract(tar)

    return Layer(name=f"debian-{name}", inputs=(lower.key, script, *_LEFT_OUT), fill=fill)


def mirror(sources: Path = SOURCES) -> str:
    """The Debian mirror that this machine's apt uses, else Debian's own."""
    for file in [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]:
        text = file.read_text() if file.is_file() else ""
        for address in re.findall(r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(https?://\S+)", text, re.MULTILINE):
            if re.search(r"/debian/?$", address):
                return str(address).rstrip("/")
    return DEFAULT_MIRROR


def _check_host() -> None:
    missing = [name for name in ("debootstrap", "unshare", "setpriv", "chroot") if not shutil.which(name, path=_PATH)]
    fix = "run this as root on Linux, or set IMAGES=pull where the registry can be reached"
    if os.geteuid() != 0:
        raise SandboxError("images of Debian packages are made in a chroot, which needs root", fix)
    if missing or not KEYRING.exists():
        raise SandboxError(
            f"to make images of Debian packages, this machine lacks {', '.join(missing) or KEYRING}",
            "install them: apt-get install debootstrap debian-archive-keyring util-linux",
        )


def _run(script: str, folder: Path, suite: str, **environment: str) -> None:
    """Run a script in namespaces of its own. `ROOT` is the root of the image, `RECORD` the list of its packages."""
    values = {
        "HOME": "/root",
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        "SUITE": suite,
        "MIRROR": mirror(),
        "KEYRING": str(KEYRING),
        "ARCHITECTURE": pins.platform_name()[1],
        "ROOT": str(folder / WORK),
        "RECORD": str(folder / "packages.txt"),
        **environment,
    }
    result = subprocess.run(
        [*_NAMESPACES, "/bin/sh", "-euc", script],
        env=values,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise _explain(suite, result.stdout)


def _explain(suite: str, output: str) -> SandboxError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if re.match(r"E: |Err:|dpkg: error", line)] or lines[-5:]
    return SandboxError(
        f"installing Debian {suite} from {mirror()} failed:\n    " + "\n    ".join(reasons[:5]),
        "check that the mirror in /etc/apt can be reached, and that the disk is not full, then run the same command "
        "again",
    )
