from __future__ import annotations

from typing import Any

import pytest

from sandbox.cluster import storage_class
from sandbox.storage import DRIVER, SELECTED_NODE, ZONE, NoData, needs_volume, volume

Json = dict[str, Any]


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
