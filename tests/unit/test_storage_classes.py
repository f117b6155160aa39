"""A volume whose StorageClass does not exist ends the update at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.schema.cluster import Cluster
from components.storage_classes import CLASSES, DEFAULT, VOLUMES, StorageClasses
from tests.http_server import Answer, Request, serving
from tests.unit.operations import test_cluster_identity as identity
from tests.unit.program import recorded
from tests.unit.recorder import Registration

GP2: Mapping[str, Any] = {"metadata": {"name": "gp2", "annotations": {DEFAULT[0]: "false"}}}
FAST: Mapping[str, Any] = {"metadata": {"name": "fast", "annotations": {DEFAULT[0]: "true"}}}


def args(item: Registration) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs("", "", item.name, item.type, new_inputs=item.inputs)


def check(
    item: Registration, classes: Sequence[Mapping[str, Any]] | None, volumes: Sequence[Mapping[str, Any]] | None = ()
) -> None:
    StorageClasses(Cluster(), lambda path: {CLASSES: classes, VOLUMES: volumes}[path]).check(args(item))


def claim(**config: object) -> Registration:
    return recorded("dev", config).one("PersistentVolumeClaim", "langfuse-postgres-data")


def test_every_volume_of_a_stack_is_checked_when_it_is_created() -> None:
    found = [recorded("dev"), recorded("prod", {"postgres": {"mode": "cloudnativepg"}})]
    makers = [item for one in found for kind in ("PersistentVolumeClaim", "Cluster") for item in one.of(kind)]
    assert len(makers) > 10
    for item in makers:
        assert "volumes-have-a-class" in item.hooks
        with pytest.raises(pulumi.RunError, match="has no default StorageClass"):
            check(item, [GP2])
        check(item, [GP2, FAST])


def test_the_error_names_the_key_and_the_classes_of_the_cluster() -> None:
    with pytest.raises(pulumi.RunError) as raised:
        check(claim(), [GP2])
    assert str(raised.value) == (
        "PersistentVolumeClaim langfuse-dev/langfuse-postgres-data: the cluster has no default StorageClass, so its "
        "volume would never be created; set langfuse:cluster.storageClass to a class of the cluster (gp2)"
    )
    chosen = claim(cluster={"storageClass": "gp3"})
    with pytest.raises(pulumi.RunError, match=r"has no StorageClass gp3.*\(fast, gp2\)"):
        check(chosen, [GP2, FAST])
    check(claim(cluster={"storageClass": "gp2"}), [GP2])


def test_volumes_that_were_made_by_hand_need_no_class() -> None:
    check(claim(), [], [{"spec": {"capacity": {"storage": "50Gi"}}}])
    check(claim(cluster={"storageClass": "local"}), [], [{"spec": {"storageClassName": "local"}}])


def test_what_cannot_be_read_is_left_to_the_update() -> None:
    check(claim(), None)
    check(claim(), [GP2], None)


def test_the_api_server_is_asked(tmp_path: Path) -> None:
    with serving(answer) as url:
        cluster = Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url))
        with pytest.raises(pulumi.RunError, match="has no default StorageClass"):
            StorageClasses(cluster).check(args(claim()))


def answer(request: Request) -> Answer:
    assert request.method == "GET"
    return Answer({"items": [GP2] if request.path == CLASSES else []})
