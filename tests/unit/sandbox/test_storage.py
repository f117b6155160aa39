from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import Client
from sandbox.cluster import storage_class
from sandbox.node.volumes import size_bytes
from sandbox.storage import (
    DEFAULT_FILE_SYSTEM,
    DRIVER,
    PROVISIONED_BY,
    SELECTED_NODE,
    ZONE,
    NoData,
    Provisioner,
    StorageError,
    needs_volume,
    volume,
)
from tests.http_server import Answer, Request, serving

Json = dict[str, Any]
Calls = list[tuple[Any, ...]]


def claim(annotations: dict[str, str] | None = None, **spec: object) -> Json:
    metadata = {
        "name": "data",
        "namespace": "one",
        "uid": "u-1",
        "resourceVersion": "7",
        "annotations": annotations or {},
    }
    requests = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": metadata, "spec": requests | spec}


CHOSEN = {SELECTED_NODE: "node-a"}


@pytest.mark.parametrize(
    ("found", "mode", "needed"),
    [
        (claim(), "WaitForFirstConsumer", False),
        (claim(CHOSEN), "WaitForFirstConsumer", True),
        (claim(), "Immediate", True),
        (claim(CHOSEN, volumeName="pvc-u-1"), "WaitForFirstConsumer", False),
        (claim(CHOSEN, dataSource={"kind": "VolumeSnapshot", "name": "x"}), "WaitForFirstConsumer", False),
    ],
)
def test_a_claim_gets_a_volume_when_it_needs_one(found: Json, mode: str, *, needed: bool) -> None:
    assert needs_volume(found, storage_class() | {"volumeBindingMode": mode}) is needed


def test_a_claim_that_is_being_deleted_gets_no_volume() -> None:
    found = claim(CHOSEN)
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not needs_volume(found, storage_class())


def test_a_volume_belongs_to_its_claim_and_zone() -> None:
    made = volume(
        claim(CHOSEN),
        storage_class() | {"reclaimPolicy": "Retain"},
        NoData().create("pvc-u-1", "1Gi"),
        {ZONE: "zone-a"},
    )
    assert made["metadata"]["name"] == "pvc-u-1"
    spec = made["spec"]
    assert spec["claimRef"]["uid"] == "u-1"
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["csi"]["driver"] == DRIVER
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": ZONE, "operator": "In", "values": ["zone-a"]}]
    assert "nodeAffinity" not in volume(claim(), storage_class(), {}, {})["spec"]


class Disks:
    """Volumes of one node; `failing` makes the next call fail."""

    topology = "kubernetes.io/hostname"

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.failing = False

    def _call(self, *call: str) -> None:
        if self.failing:
            self.failing = False
            raise StorageError("the disk is full")
        self.calls.append(call)

    def create(self, name: str, size: str, file_system: str = DEFAULT_FILE_SYSTEM) -> Json:
        self._call("create", name, size, file_system)
        return {"local": {"path": f"/disks/{name}"}}

    def expand(self, name: str, size: str) -> None:
        self._call("expand", name, size)

    def delete(self, name: str) -> None:
        self._call("delete", name)


@pytest.fixture
def calls() -> Calls:
    """Requests that change something, and calls of the storage, in order."""
    return []


@pytest.fixture
def disks(calls: Calls) -> Disks:
    return Disks(calls)


@pytest.fixture
def provisioner(calls: Calls, disks: Disks) -> Iterator[Provisioner]:
    """A provisioner of the volumes of one node."""

    def answer(request: Request) -> Answer:
        if request.method == "GET":
            return Answer({"metadata": {"labels": {"kubernetes.io/hostname": "host-a", ZONE: "zone-a"}}})
        calls.append((request.method, request.path, request.body))
        return Answer({})

    with serving(answer) as url:
        nowhere = Path("/nonexistent")  # no files are read without TLS
        made = Provisioner(Client(url, nowhere, nowhere, nowhere), disks)
        made._classes._objects = {"class": storage_class()}
        yield made


def bound(phase: str = "Bound", policy: str = "Delete") -> Json:
    return {
        "metadata": {"name": "pvc-u-1", "annotations": {PROVISIONED_BY: DRIVER}},
        "spec": {"capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }


def test_data_is_created_before_its_volume(provisioner: Provisioner, calls: Calls) -> None:
    provisioner._claims._objects = {"u-1": claim(CHOSEN, storageClassName="standard")}
    assert provisioner.reconcile()
    assert calls[0] == ("create", "pvc-u-1", "1Gi", "ext4")
    assert calls[1][:2] == ("POST", "/api/v1/persistentvolumes")
    spec = calls[1][2]["spec"]
    assert spec["local"] == {"path": "/disks/pvc-u-1"}
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-a"]}]


def test_data_is_expanded_before_the_volume_says_so(provisioner: Provisioner, calls: Calls) -> None:
    larger = claim(CHOSEN, volumeName="pvc-u-1", resources={"requests": {"storage": "2Gi"}})
    larger["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    provisioner._claims._objects = {"u-1": larger}
    provisioner._volumes._objects = {"v-1": bound()}
    assert provisioner.reconcile()
    assert calls[0] == ("expand", "pvc-u-1", "2Gi")
    assert [call[:2] for call in calls[1:]] == [
        ("PATCH", "/api/v1/persistentvolumes/pvc-u-1"),
        ("PATCH", "/api/v1/namespaces/one/persistentvolumeclaims/data/status"),
    ]


@pytest.mark.parametrize(("policy", "deleted"), [("Delete", True), ("Retain", False)])
def test_data_is_deleted_unless_its_class_retains_it(
    provisioner: Provisioner, calls: Calls, policy: str, *, deleted: bool
) -> None:
    provisioner._volumes._objects = {"v-1": bound("Released", policy)}
    assert provisioner.reconcile()
    expected = [("delete", "pvc-u-1"), ("DELETE", "/api/v1/persistentvolumes/pvc-u-1")]
    assert [call[:2] for call in calls] == (expected if deleted else [])


def test_a_failure_of_the_storage_is_tried_again(provisioner: Provisioner, calls: Calls, disks: Disks) -> None:
    provisioner._claims._objects = {"u-1": claim(CHOSEN, storageClassName="standard")}
    disks.failing = True
    assert not provisioner.reconcile()
    assert calls == []
    assert provisioner.reconcile()
    assert [call[0] for call in calls] == ["create", "POST"]


@pytest.mark.parametrize(("size", "expected"), [("1Gi", 2**30), ("20M", 20_000_768), ("1", 4096), ("1.5Ki", 4096)])
def test_a_size_is_rounded_up_to_whole_blocks(size: str, expected: int) -> None:
    assert size_bytes(size) == expected


@pytest.mark.parametrize("size", ["", "0", "many", "-1Gi"])
def test_what_is_not_a_size_is_refused(size: str) -> None:
    with pytest.raises(StorageError, match="is not a size"):
        size_bytes(size)
