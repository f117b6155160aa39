"""The volumes of the real node, with real filesystems in a private mount namespace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.node.volumes import CAP_SYS_RESOURCE, has_capability
from tests.node.namespaces import Namespaces, private
from tests.waiting import eventually

pytestmark = pytest.mark.node


@pytest.fixture
def mounts(machine: None) -> Iterator[Namespaces]:
    """Where the volumes are mounted; killed at the end, as in a power cut."""
    with private("mount") as namespaces:
        yield namespaces


class Volumes:
    """Calls of `LoopVolumes` on a mounts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, mounts: Namespaces, *calls: str) -> str:
        """The output of calls, such as `create("a", "1Gi")`."""
        lines = "\n".join(f"    print(volumes.{call})" for call in calls)
        return mounts.python(
            f"""
from pathlib import Path
from sandbox.node.volumes import LoopVolumes
from sandbox.storage import StorageError
volumes = LoopVolumes(Path({str(self.folder)!r}))
volumes.mount_all()
try:
    pass
{lines}
except StorageError as error:
    print("failed:", error)
"""
        )

    def path(self, name: str) -> str:
        """Where a volume is mounted."""
        return f"{self.folder}/mounts/{name}/volume"

    def size(self, mounts: Namespaces, name: str) -> int:
        """The size of the filesystem's device in MiB."""
        device = mounts.run("findmnt", "-n", "-o", "SOURCE", self.path(name)).strip()
        blocks = mounts.run("dumpe2fs", "-h", device).split("Block count:")[1].split()[0]
        return int(blocks) * 4096 // 2**20


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path)


def loop_devices(folder: Path) -> list[str]:
    command = [str(shutil.which("losetup")), "--list", "-n", "-O", "BACK-FILE"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.startswith(str(folder))]


def test_a_new_volume_is_as_a_cloud_hands_it_out(mounts: Namespaces, volumes: Volumes) -> None:
    assert volumes.path("a") in volumes.call(mounts, 'create("a", "1Gi")')
    found = mounts.run("stat", "--format=%U %G %a", volumes.path("a")).strip()
    assert found == "root root 755"
    assert mounts.run("ls", volumes.path("a")).split() == ["lost+found"]
    assert volumes.size(mounts, "a") == 1024
    (file,) = volumes.folder.glob("files/*")
    assert file.stat().st_size == 2**30
    assert file.stat().st_blocks * 512 < 2**26  # it is sparse


def test_a_volume_has_a_name_only_when_it_is_mounted(mounts: Namespaces, volumes: Volumes) -> None:
    without_filesystem = f"_file('a').write_bytes(bytes({2**20}))"
    assert "failed: e2fsck" in volumes.call(mounts, without_filesystem, 'create("a", "1Mi")')
    mounts.run("test", "!", "-e", volumes.path("a"))


def test_volumes_survive_a_power_cut(machine: None, volumes: Volumes) -> None:
    with private("mount") as mounts:
        volumes.call(mounts, *(f'create("volume-{number}", "16Mi")' for number in range(12)))  # more than 8
        mounts.run("sh", "-c", f"echo kept > {volumes.path('volume-7')}/file; sync")
        assert len(loop_devices(volumes.folder)) == 12
    eventually(lambda: not loop_devices(volumes.folder), "the loop devices are not free", within=10)
    with private("mount") as mounts:
        volumes.call(mounts)
        assert mounts.run("cat", f"{volumes.path('volume-7')}/file") == "kept\n"
        assert len(loop_devices(volumes.folder)) == 12


def test_a_volume_is_expanded_with_its_data(mounts: Namespaces, volumes: Volumes) -> None:
    volumes.call(mounts, 'create("a", "64Mi")')
    mounts.run("sh", "-c", f"echo kept > {volumes.path('a')}/file")
    assert "failed" not in volumes.call(mounts, 'expand("a", "2Gi")', 'expand("a", "2Gi")')
    assert volumes.size(mounts, "a") == 2048
    assert mounts.run("cat", f"{volumes.path('a')}/file") == "kept\n"


def test_a_volume_in_use_is_expanded_at_once_or_after_its_pods(mounts: Namespaces, volumes: Volumes) -> None:
    volumes.call(mounts, 'create("a", "64Mi")')
    pod = volumes.folder / "pod"
    pod.mkdir()
    mounts.run("mount", "--bind", volumes.path("a"), str(pod))  # as kubelet does
    mounts.run("sh", "-c", f"echo kept > {pod}/file")
    output = volumes.call(mounts, 'expand("a", "128Mi")')
    if has_capability(CAP_SYS_RESOURCE):
        assert "failed" not in output
    else:
        assert "failed: it is expanded when no pod uses it" in output
        mounts.run("test", "!", "-e", volumes.path("a"))  # no further pod can mount it
        mounts.run("cat", f"{pod}/file")
        mounts.run("umount", str(pod))
        assert "failed" not in volumes.call(mounts, 'expand("a", "128Mi")')
    assert volumes.size(mounts, "a") == 128
    assert mounts.run("cat", f"{volumes.path('a')}/file") == "kept\n"


def test_an_xfs_in_use_is_expanded_at_once_and_survives_a_power_cut(machine: None, volumes: Volumes) -> None:
    with private("mount") as mounts:
        volumes.call(mounts, 'create("a", "512Mi", "xfs")')
        pod = volumes.folder / "pod"
        pod.mkdir()
        mounts.run("mount", "--bind", volumes.path("a"), str(pod))
        mounts.run("sh", "-c", f"echo kept > {pod}/file; sync")
        assert "failed" not in volumes.call(mounts, 'expand("a", "1Gi")', 'expand("a", "1Gi")')
        size = int(mounts.run("df", "--block-size=1M", "--output=size", str(pod)).split()[-1])
        assert 900 < size < 1024  # without its log
    eventually(lambda: not loop_devices(volumes.folder), "the loop devices are not free", within=10)
    with private("mount") as mounts:
        volumes.call(mounts)
        assert mounts.run("cat", f"{volumes.path('a')}/file") == "kept\n"
        assert "failed: its class asks for zfs" in volumes.call(mounts, 'create("b", "1Gi", "zfs")')


def test_a_deleted_volume_leaves_nothing(mounts: Namespaces, volumes: Volumes) -> None:
    volumes.call(mounts, 'create("a", "64Mi")', 'create("b", "64Mi")')
    volumes.call(mounts, 'delete("a")', 'delete("a")')
    assert [file.name for file in (volumes.folder / "files").iterdir()] == ["b.img"]
    assert mounts.run("ls", f"{volumes.folder}/mounts").split() == ["b"]
    assert len(loop_devices(volumes.folder)) == 1
