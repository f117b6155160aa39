"""Waits for events that no watch reports."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sandbox.plugins.kubernetes import waiting
from sandbox.plugins.kubernetes.api import ApiError
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.enginelog import EngineLog, Reporter
from sandbox.plugins.kubernetes.informers import Cancellation, Informer, Informers
from sandbox.plugins.kubernetes.objects import Object

THING: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "one", "namespace": "shop", "uid": "1"},
}


class Vanishing:
    """A cluster in which the CRD is deleted after some requests for the object."""

    def __init__(self, seen: int) -> None:
        self.cancellation = Cancellation()
        self.informers = Informers(cast(Any, self), self.cancellation)
        self._left = seen

    def get(self, _obj: Object) -> Object:
        if self._left == 0:
            raise ApiError(404, {"message": "the server could not find the requested resource"})
        self._left -= 1
        return THING

    def watch(self, _kind: object, _namespace: str) -> Informer:
        return Informer(cast(Any, self), "/apis/example.com/v1/namespaces/shop/things")

    def request(self, _method: str, _path: str) -> Object:
        raise ApiError(404, {"message": "the server could not find the requested resource"})


@pytest.mark.timeout(10)
def test_an_object_whose_crd_was_deleted_counts_as_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RECHECK_SECONDS", 0.01)
    cluster = cast(Cluster, Vanishing(seen=3))
    waiting.until_gone(cluster, THING, {}, 0, Reporter(EngineLog(""), "", str))
    with pytest.raises(ApiError):
        cluster.get(THING)
