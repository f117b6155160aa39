"""`doctor`: what it says of a cluster that has everything, and of each thing that is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from components.backups.off_site import IDENTITY
from components.schema.cluster import Cluster as Settings
from operations.cluster import Resource, Server
from operations.doctor import checks, machine, references, route
from operations.doctor.model import Line
from operations.errors import OperationError
from tests.data.rendered import RECIPIENT
from tests.unit.operations.changes.engine_events import urn
from tests.unit.program import recorded

Json = Mapping[str, Any]

NAMESPACE = "langfuse-prod"
OFF_SITE = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}
CLASS = {
    "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "allowVolumeExpansion": True,
    "reclaimPolicy": "Retain",
    "volumeBindingMode": "WaitForFirstConsumer",
}
GATEWAY = {
    "kind": "Gateway",
    "metadata": {"name": "public", "namespace": "istio-system"},
    "spec": {"servers": [{"hosts": ["*/prod.example.com"]}]},
}
KEYS = {"ACCESS_KEY_ID": "", "SECRET_ACCESS_KEY": ""}


def node(name: str, cpu: str = "32", memory: str = "128Gi", **spec: object) -> Json:
    allocatable = {"cpu": cpu, "memory": memory, "pods": "110"}
    return {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(on: str, namespace: str, cpu: str, phase: str = "Running") -> Json:
    container = {"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    spec = {"nodeName": on, "containers": [container]}
    return {"metadata": {"namespace": namespace}, "spec": spec, "status": {"phase": phase}}


def webhook(**hook: object) -> Json:
    service = {"namespace": "policies", "name": "admit"}
    rules = [{"resources": ["pods"]}]
    whole = {"clientConfig": {"service": service}, "rules": rules, **hook}
    return {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "policies"}, "webhooks": [whole]}


class World:
    """A cluster with what the stack needs. Tests take something away."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.version = Server("v1.36.3", 1, 36, 2.0)
        self.lists: dict[str, list[Json]] = {"StorageClass": [CLASS], "Node": [node("a"), node("b")]}
        self.objects: dict[tuple[str, str], Json] = {
            ("Gateway", "public"): GATEWAY,
            ("Secret", "off-site"): {"data": KEYS},
        }
        self.refused: set[tuple[str, str]] = set()
        self.unknown: set[str] = set()
        self.unreadable: set[str] = set()

    def server(self) -> Server:
        return self.version

    def resource(self, api_version: str, kind: str) -> Resource | None:
        if kind in self.unknown:
            return None
        return Resource(api_version.rpartition("/")[0], f"{kind.lower()}s", namespaced=kind != "Namespace")

    def allowed(self, verb: str, resource: Resource, _namespace: str) -> bool:
        return (verb, resource.name) not in self.refused

    def items(self, _api_version: str, kind: str, _namespace: str | None = None) -> list[Json]:
        if kind in self.unreadable:
            raise OperationError("the cluster refused the request: 403 Forbidden")
        return self.lists.get(kind, [])

    def get(self, wanted: Json) -> Json | None:
        return self.objects.get((wanted["kind"], wanted["metadata"]["name"]))

    def namespace_uid(self, _name: str) -> str | None:
        return None


class FakePulumi:
    stack = "prod"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    recording = recorded("prod", {"backups": {"offSite": {**OFF_SITE, "recipients": [RECIPIENT]}}})
    objects = {urn(item.type, item.name): deepcopy(item.inputs) for item in recording}
    wanted = {key: item for key, item in objects.items() if {"apiVersion", "kind", "metadata"} <= item.keys()}
    monkeypatch.setattr(machine, "lines", lambda _: [machine.BACKEND.ok("")])
    monkeypatch.setattr(machine, "preview", lambda _: ([machine.PREVIEW.ok("")], wanted))
    monkeypatch.setattr("operations.cluster.Cluster.of", staticmethod(lambda _: made))
    monkeypatch.setattr("operations.cluster_identity.check", lambda _: None)
    monkeypatch.setattr(route, "hosts", lambda names: [route.NAME.ok(name) for name in names])
    return made


def lines() -> list[Line]:
    return list(checks.lines(FakePulumi(), lambda _: None))  # type: ignore[arg-type]


def test_a_cluster_that_has_everything_passes(world: World) -> None:
    found = lines()
    assert {one.check for one in found if one.outcome == "skipped"} == {"admission of pods"}  # there is no namespace
    assert {one.outcome for one in found if one.check != "admission of pods"} == {"ok"}
    assert [one.detail for one in found if one.check == "name"] == ["prod.example.com"]
    world.unreadable = {"StorageClass", "Node", "ResourceQuota", "ValidatingWebhookConfiguration"}
    skipped = {one.check for one in lines() if one.outcome == "skipped"}
    assert skipped == {"admission of pods", "storage classes", "room on nodes", "quotas", "webhooks"}


Change = Callable[[World], object]

FAULTS: dict[str, tuple[Change, str, str, str]] = {
    "an old cluster": (
        lambda world: setattr(world, "version", Server("v1.29.1-eks", 1, 29, None)),
        "version",
        "failed: Kubernetes v1.29.1-eks",
        "Kubernetes 1.30 or newer",
    ),
    "another time": (
        lambda world: setattr(world, "version", Server("v1.36.3", 1, 36, -90)),
        "clock",
        "failed: this machine and the API server differ by 90 s",
        "NTP",
    ),
    "no Istio": (
        lambda world: world.unknown.add("VirtualService"),
        "kinds of objects",
        "failed: the cluster does not serve VirtualService of networking.istio.io/v1",
        "install Istio first",
    ),
    "few permissions": (
        lambda world: world.refused.update({("create", "statefulsets.apps"), ("patch", "statefulsets.apps")}),
        "permissions",
        "failed: you may not create, patch statefulsets.apps in langfuse-prod",
        "own-namespace.md",
    ),
    "no logs": (
        lambda world: world.refused.add(("get", "pods/log")),
        "permissions",
        "warning: you may not get pods/log in langfuse-prod",
        "Role",
    ),
    "no default class": (
        lambda world: world.lists.update(StorageClass=[{**CLASS, "metadata": {"name": "fast"}}]),
        "storage classes",
        "failed: the default StorageClass does not exist",
        "langfuse:cluster.storageClass to one of: fast",
    ),
    "a class that deletes": (
        lambda world: world.lists.update(StorageClass=[{**CLASS, "reclaimPolicy": "Delete"}]),
        "storage classes",
        "warning: the default StorageClass, fast: a deleted claim deletes its data",
        "expands and retains",
    ),
    "small nodes": (
        lambda world: world.lists.update(Node=[node("a", cpu="4", memory="8Gi"), node("b", unschedulable=True)]),
        "room on nodes",
        "warning: 18 pods on 1 nodes",
        "add nodes",
    ),
    "full nodes": (
        lambda world: world.lists.update(Pod=[pod("a", "other", "31"), pod("b", "other", "31")]),
        "room on nodes",
        "do not fit: langfuse-",
        "add nodes",
    ),
    "a quota": (
        lambda world: world.lists.update(
            ResourceQuota=[{"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "2", "pods": "9"}}}]
        ),
        "quotas",
        "failed: ResourceQuota team allows requests.cpu 2; the stack requests",
        "raise the quota",
    ),
    "a webhook without a pod": (
        lambda world: world.lists.update(ValidatingWebhookConfiguration=[webhook()]),
        "webhooks",
        "ValidatingWebhookConfiguration policies must admit pods, and its Service policies/admit has no ready pod",
        "exclude the namespace langfuse-prod",
    ),
    "no Secret": (
        lambda world: world.objects.pop(("Secret", "off-site")),
        "secrets",
        "warning: Secret off-site in namespace langfuse-prod does not exist",
        "add ACCESS_KEY_ID, SECRET_ACCESS_KEY to Secret off-site",
    ),
    "a private key that was left": (
        lambda world: world.objects.update({("Secret", IDENTITY): {"data": {"AGE_IDENTITY": ""}}}),
        "secrets",
        "warning: Secret langfuse-age-identity has the private key of the off-site copies",
        "unless a restore runs, remove it: kubectl -n langfuse-prod delete secret langfuse-age-identity",
    ),
    "no Gateway": (
        lambda world: world.objects.pop(("Gateway", "public")),
        "gateway",
        "failed: VirtualService langfuse-prod/langfuse: the Gateway istio-system/public does not exist",
        "langfuse:ingress",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_line_with_its_fix(world: World, name: str) -> None:
    change, check, said, fix = FAULTS[name]
    change(world)
    (found,) = [one for one in lines() if one.check == check and one.outcome in ("warning", "failed")]
    assert said in f"{found.outcome}: {found.detail}"
    assert fix in found.fix


def test_pods_of_the_stack_and_ended_ones_take_no_room(world: World) -> None:
    world.lists["Pod"] = [pod("a", NAMESPACE, "31"), pod("b", "other", "31", phase="Succeeded")]
    assert "ok" in {one.outcome for one in lines() if one.check == "room on nodes"}


@pytest.mark.parametrize(
    "harmless",
    [
        webhook(failurePolicy="Ignore"),
        webhook(rules=[{"resources": ["services"]}]),
        webhook(namespaceSelector={"matchLabels": {"team": "a"}}),
        webhook(
            namespaceSelector={
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NAMESPACE]},
                    {"key": "team", "operator": "DoesNotExist"},
                ]
            }
        ),
        webhook(clientConfig={"url": "https://policies.example.com"}),
    ],
)
def test_webhooks_that_cannot_stop_a_pod_are_left_out(world: World, harmless: Json) -> None:
    world.lists["MutatingWebhookConfiguration"] = [harmless]
    assert not [one for one in lines() if one.check == references.WEBHOOKS.name]


def test_a_webhook_that_answers_is_fine(world: World) -> None:
    labels = {"kubernetes.io/service-name": "admit"}
    world.lists["ValidatingWebhookConfiguration"] = [webhook()]
    world.lists["EndpointSlice"] = [{"metadata": {"labels": labels}, "endpoints": [{"conditions": {"ready": True}}]}]
    assert not [one for one in lines() if one.check == references.WEBHOOKS.name]


def test_without_a_cluster_nothing_else_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def server() -> Server:
        raise OperationError("the cluster can't be reached: ConnectTimeoutError; check KUBECONFIG")

    monkeypatch.setattr(world, "server", server)
    last = lines()[-1]
    assert (last.check, last.outcome) == ("the cluster", "failed")
    assert "langfuse:cluster.context" in last.fix
