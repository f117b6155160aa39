"""What the real node needs from the machine: Linux, root and packages of the distribution."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.errors import SandboxError

CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian and Ubuntu install the plugins (package containernetworking-plugins)."""

NEEDED_PLUGINS = ("ptp", "portmap", "host-local", "loopback")

SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Not in every user's PATH, also not in that of root after `su`."""

PROGRAMS: Mapping[str, str] = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "blkid": "util-linux",
    "losetup": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""The packages of Debian and Ubuntu that have these programs."""


def path() -> str:
    """PATH with the folders of the system's own programs."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PATH])


def check() -> None:
    """Check that this machine can run the node.

    Raises:
        SandboxError: It cannot. The error names everything that is missing.
    """
    otherwise = "use the simulated nodes: `make up` without NODE=real"
    if sys.platform != "linux":
        raise SandboxError(f"the real node needs Linux, not {sys.platform}", otherwise)
    if os.geteuid() != 0:
        raise SandboxError(
            "the real node needs root: it creates namespaces, mounts and network interfaces",
            f"run the command as root (`sudo -E make up NODE=real`), or {otherwise}",
        )
    packages = {package for program, package in PROGRAMS.items() if not shutil.which(program, path=path())}
    if not all((CNI_PLUGINS / plugin).exists() for plugin in NEEDED_PLUGINS):
        packages.add("containernetworking-plugins")
    if packages:
        names = " ".join(sorted(packages))
        raise SandboxError(
            f"the real node needs packages of the distribution: {names}",
            f"install them (`apt-get install {names}`), or {otherwise}",
        )
