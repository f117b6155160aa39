"""The volumes of the real node: `local` volumes with file systems of their own, owned by root, as on a cloud's disks.

Run it as `python -m sandbox.node.volumes SERVER CA CERTIFICATE KEY FOLDER`, as root, in the mount namespace of kubelet.
It needs mkfs.ext4, e2fsck and resize2fs (package e2fsprogs), mkfs.xfs and xfs_growfs (package xfsprogs), mount, losetup
and blkid (packages mount and util-linux).

The file system is ext4 with `lost+found`, or XFS if the StorageClass names it. FOLDER keeps a sparse file for each
volume, whose size is the size that the claim requests. The kernel frees the loop
device of a file when its last mount ends, also when the mount namespace ends with all its processes.
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import time
from pathlib import Path

from langfuse_policies.facts.quantities import parse_quantity

from sandbox import informer
from sandbox.client import Json
from sandbox.storage import DEFAULT_FILE_SYSTEM, Provisioner, StorageError

BLOCK_BYTES = 4096
COMMAND_SECONDS = 300.0
MOUNT_ATTEMPTS = 5
PAUSE_SECONDS = 1.0

XFS = "xfs"
MKFS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m0", "-b", str(BLOCK_BYTES), "-Elazy_itable_init=1,lazy_journal_init=1"),
    XFS: ("mkfs.xfs", "-q", "-f"),
}
"""As kubelet formats disks (mount_linux.go in k8s.io/mount-utils), without writing zeros to a sparse file."""

CHECKED = (0, 1, 2, 3)  # e2fsck(8): no errors, or all errors were corrected

CAP_SYS_RESOURCE = 24  # linux/capability.h; the kernel requires it to resize a mounted ext4 (fs/ext4/resize.c)
"""The kernel expands a mounted XFS for whoever has CAP_SYS_ADMIN (fs/xfs/xfs_fsops.c)."""

log = logging.getLogger("volumes")

_PARTIAL = ".partial"  # of a file or folder that is not complete


class LoopVolumes:
    """Volumes in files, accessible on one node.

    Each is mounted at `mounts/NAME/volume`. `mounts` is a tmpfs, and a folder gets its name only when the volume is
    mounted in it. So kubelet never finds an empty folder on the root disk instead of a volume.
    """

    topology = "kubernetes.io/hostname"

    def __init__(self, folder: Path) -> None:
        self._files = folder / "files"
        self._mounts = folder / "mounts"

    def mount_all(self) -> None:
        """Mount every volume, as after the start of a machine. One that stays damaged is reported and not mounted."""
        for path in (self._files, self._mounts):
            path.mkdir(parents=True, exist_ok=True)
        if not self._mounts.is_mount():
            _run("mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "sandbox-volumes", str(self._mounts))
        missing = sorted(file.stem for file in self._files.glob("*.img"))
        for _ in range(MOUNT_ATTEMPTS):  # the mounts of a killed node may still be ending
            missing = [name for name in missing if not self._is_mounted(name)]
            if not missing:
                return
            time.sleep(PAUSE_SECONDS)

    def create(self, name: str, size: str, file_system: str = DEFAULT_FILE_SYSTEM) -> Json:
        """Create, format and mount a volume."""
        if file_system not in MKFS:
            raise StorageError(f"its class asks for {file_system}; volumes have one of: {', '.join(MKFS)}")
        file = self._file(name)
        if not file.exists():
            partial = file.with_suffix(_PARTIAL)
            with partial.open("wb") as opened:
                opened.truncate(size_bytes(size))
            _run(*MKFS[file_system], str(partial))
            partial.rename(file)
        self._mount(name)
        return {"local": {"path": str(self.path(name))}}

    def expand(self, name: str, size: str) -> None:
        """Expand the file and its filesystem.

        Without CAP_SYS_RESOURCE, a mounted ext4 can't be expanded. Then no further pod can mount the volume until
        those that use it have ended and it is expanded, as with disks that have to be detached first.
        """
        file = self._file(name)
        with file.open("r+b") as opened:
            opened.truncate(max(file.stat().st_size, size_bytes(size)))
        if _file_system(file) == XFS:  # which can be expanded only while it is mounted
            self._mount(name)
            _run("losetup", "--set-capacity", str(_loop_device(file)))
            _run("xfs_growfs", str(self.path(name)))
            return
        if device := _loop_device(file):
            if has_capability(CAP_SYS_RESOURCE):
                _run("losetup", "--set-capacity", device)
                _run("resize2fs", device)
                return
            self._unmount(name)
            if _loop_device(file):
                raise StorageError("it is expanded when no pod uses it: delete the pods that do")
        _check(file, "-f")  # resize2fs refuses a filesystem that was not checked since its last mount
        _run("resize2fs", str(file))
        self._mount(name)

    def delete(self, name: str) -> None:
        """Unmount and delete a volume."""
        self._unmount(name)
        self._file(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where a volume is mounted."""
        return self._mounts / name / "volume"

    def _file(self, name: str) -> Path:
        return self._files / f"{name}.img"

    def _is_mounted(self, name: str) -> bool:
        """Mount a volume; return whether that worked."""
        try:
            self._mount(name)
        except StorageError as error:
            log.warning("%s is not mounted: %s", name, error)
            return False
        return True

    def _mount(self, name: str) -> None:
        """Check and mount a volume, unless it is mounted."""
        target, partial = self._mounts / name, self._partial(name)
        if target.exists():
            return
        (partial / "volume").mkdir(parents=True, exist_ok=True)
        if not (partial / "volume").is_mount():
            if not _loop_device(self._file(name)):  # otherwise a pod uses the filesystem
                _check(self._file(name))
            _run("mount", "-o", "loop", str(self._file(name)), str(partial / "volume"))
        partial.rename(target)

    def _unmount(self, name: str) -> None:
        """Unmount a volume, unless it is not mounted. Pods that use it keep their own mounts of it."""
        target, partial = self._mounts / name, self._partial(name)
        if target.exists():
            target.rename(partial)
        if (partial / "volume").is_mount():
            _run("umount", str(partial / "volume"))
        for path in (partial / "volume", partial):
            if path.exists():
                path.rmdir()

    def _partial(self, name: str) -> Path:
        return self._mounts / f"{name}{_PARTIAL}"


def size_bytes(quantity: str) -> int:
    """A quantity in bytes, rounded up to a block of the filesystem."""
    size = parse_quantity(quantity)
    if size is None or size <= 0:
        raise StorageError(f"{quantity!r} is not a size")
    return math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES


def _loop_device(file: Path) -> str | None:
    """The loop device of a file; None if it has none."""
    found = _run("losetup", "--noheadings", "--output", "NAME", "--associated", str(file)).split()
    return found[0] if found else None


def _file_system(file: Path) -> str:
    """The kind of a volume's file system; empty if it has none."""
    return _run("blkid", "--probe", "--output", "value", "--match-tag", "TYPE", str(file), accepted=(0, 2)).strip()


def _check(file: Path, *options: str) -> None:
    """Repair what can be repaired without asking, as at the start of a machine. XFS does this when it is mounted."""
    if _file_system(file) != XFS:
        _run("e2fsck", "-p", *options, str(file), accepted=CHECKED)


def has_capability(number: int) -> bool:
    """Whether this process has a capability."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return bool(int(status["CapEff"], 16) >> number & 1)


def _run(*command: str, accepted: tuple[int, ...] = (0,)) -> str:
    """The output of a command; raise StorageError if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"{command[0]}: {error}") from error
    if done.returncode not in accepted:
        raise StorageError(f"{' '.join(command)} failed with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main() -> None:
    """Run with the arguments in the module's docstring."""
    client, (folder,) = informer.connect(sys.argv[1:])
    volumes = LoopVolumes(folder.resolve())
    volumes.mount_all()
    Provisioner(client, volumes).run()


if __name__ == "__main__":
    main()
