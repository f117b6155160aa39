"""When objects are ready, and the messages about those that are not."""

from __future__ import annotations

import pytest

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import conditions, ready_core, ready_workloads
from sandbox.plugins.kubernetes.objects import Kind, Object
from sandbox.plugins.kubernetes.readiness import Verdict
from sandbox.plugins.kubernetes.waiting import criterion
from sandbox.plugins.properties import Property

OWNED: Property = [{"uid": "owner"}]


class Fixed:
    """A namespace with these objects."""

    def __init__(self, *found: Object) -> None:
        self._found = found

    def all(self, kind: Kind) -> list[Object]:
        return [obj for obj in self._found if obj.get("kind") == kind.kind]


def conditioned(**statuses: str) -> list[Property]:
    return [
        {"type": kind, "status": status, "reason": "Why", "message": f"{kind}!"} for kind, status in statuses.items()
    ]


def deployment(revision: str = "2", *, observed: int = 3, rolled_out: bool = True, updated: int = 2) -> Object:
    progressing: Property = {
        "type": "Progressing",
        "status": "True",
        "reason": "NewReplicaSetAvailable" if rolled_out else "ReplicaSetUpdated",
    }
    return {
        "metadata": {
            "name": "web",
            "uid": "owner",
            "generation": 3,
            "annotations": {"deployment.kubernetes.io/revision": revision},
        },
        "spec": {"replicas": 2, "template": {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}}},
        "status": {
            "observedGeneration": observed,
            "updatedReplicas": updated,
            "conditions": [*conditioned(Available="True"), progressing],
        },
    }


def replica_set(revision: str, ready: int) -> Object:
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "uid": f"set-{revision}",
            "ownerReferences": OWNED,
            "annotations": {"deployment.kubernetes.io/revision": revision},
        },
        "spec": {"replicas": 2},
        "status": {"readyReplicas": ready},
    }


def claim(phase: str) -> Object:
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("live", "others", "ready"),
    [
        (deployment(), [replica_set("2", 2)], True),
        (deployment(), [replica_set("2", 2), claim("Bound")], True),
        (deployment(), [replica_set("2", 2), claim("Pending")], False),
        (deployment(), [replica_set("2", 1)], False),
        (deployment(), [replica_set("1", 2)], False),
        (deployment(observed=2), [replica_set("2", 2)], False),
        (deployment(rolled_out=False), [replica_set("2", 2)], False),
        (deployment("1", rolled_out=False), [replica_set("1", 2)], True),
        (deployment(updated=1), [replica_set("2", 2)], False),
    ],
)
def test_a_deployment_is_ready_when_its_newest_pods_are(live: Object, others: list[Object], *, ready: bool) -> None:
    assert ready_workloads.deployment(live, Fixed(*others)).ready == ready


def test_problems_of_pods_are_reported() -> None:
    waiting: Property = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod: Object = {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "ns", "ownerReferences": [{"uid": "set-2"}]},
        "status": {
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}],
            "containerStatuses": [
                {"name": "main", "ready": False, "state": waiting},
                {"name": "side", "ready": False, "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}}},
            ],
        },
    }
    verdict = ready_workloads.deployment(deployment(), Fixed(replica_set("2", 0), pod))
    told = "\n".join(verdict.problems)
    for part in ("no node fits", "[ImagePullBackOff] no such image", 'container "side" exited with code 7'):
        assert part in told


def stateful(strategy: str = "RollingUpdate", revisions: str = "aa", **status: int) -> Object:
    counts = {"replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "observedGeneration": 2, **status}
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2, "updateStrategy": {"type": strategy}},
        "status": {**counts, "currentRevision": revisions[0], "updateRevision": revisions[1]},
    }


@pytest.mark.parametrize(
    ("live", "ready"),
    [
        (stateful(), True),
        (stateful(observedGeneration=1), False),
        (stateful(readyReplicas=1), False),
        (stateful(revisions="ab"), False),
        (stateful("OnDelete", revisions="ab", currentReplicas=0), True),
    ],
)
def test_a_stateful_set_is_ready_when_every_replica_is_new(live: Object, *, ready: bool) -> None:
    assert ready_workloads.stateful_set(live, Fixed()).ready == ready


def test_a_job_is_ready_when_complete_and_fails_when_failed() -> None:
    def job(**statuses: str) -> Verdict:
        return ready_workloads.job({"status": {"conditions": conditioned(**statuses)}}, Fixed())

    assert job(Complete="True").ready
    assert not job().failed
    assert job(Failed="True").failed
    assert job(Failed="True").problems == ("[Why] Failed!",)


def test_a_daemon_set_is_ready_when_every_node_has_its_pod() -> None:
    counts: dict[str, Property] = dict.fromkeys(
        (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberReady",
        ),
        3,
    )
    live: Object = {"metadata": {"generation": 1}, "status": {**counts, "observedGeneration": 1}}
    assert ready_workloads.daemon_set(live, Fixed()).ready
    live["status"] = {**counts, "numberAvailable": 2, "observedGeneration": 1}
    assert not ready_workloads.daemon_set(live, Fixed()).ready


def service(**spec: Property) -> Object:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1", **spec}}


def endpoints(*ready: bool) -> Object:
    return {
        "kind": "EndpointSlice",
        "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"conditions": {"ready": one}} for one in ready],
    }


@pytest.mark.parametrize(
    ("live", "others", "ready"),
    [
        (service(), [endpoints(True, True)], True),
        (service(), [endpoints()], True),
        (service(), [endpoints(True, False)], False),
        (service(), [], False),
        (service(clusterIP="None"), [], True),
        (service(selector={}), [], True),
        (service(type="ExternalName"), [], True),
        (service(type="LoadBalancer"), [endpoints(True)], False),
    ],
)
def test_a_service_is_ready_when_its_pods_are(live: Object, others: list[Object], *, ready: bool) -> None:
    assert ready_core.service(live, Fixed(*others)).ready == ready


@pytest.mark.parametrize(
    ("phase", "mode", "ready"),
    [
        ("Bound", "Immediate", True),
        ("Pending", "Immediate", False),
        ("Pending", "WaitForFirstConsumer", True),
        ("Lost", "WaitForFirstConsumer", False),
    ],
)
def test_a_claim_is_ready_when_bound_or_waiting_for_its_consumer(phase: str, mode: str, *, ready: bool) -> None:
    live: Object = {"spec": {"storageClassName": "fast"}, "status": {"phase": phase}}
    storage_class: Object = {"kind": "StorageClass", "metadata": {"name": "fast"}, "volumeBindingMode": mode}
    assert ready_core.claim(live, Fixed(storage_class)).ready == ready


def test_kinds_without_a_criterion_are_ready_when_they_exist() -> None:
    assert criterion(Kind("", "v1", "ConfigMap")) is None
    assert criterion(Kind("example.com", "v1", "Deployment")) is None
    assert criterion(Kind("apps", "v1", "Deployment")) is not None


LIVE: Object = {
    "metadata": {"generation": 2},
    "spec": {"list": [{"a": 1}, {"a": 2}], "flag": True},
    "status": {
        "phase": "Bound",
        "observedGeneration": 2,
        "conditions": conditioned(Ready="True", Available="False"),
        "a.b": "dotted",
    },
}


@pytest.mark.parametrize(
    ("expression", "ready"),
    [
        ("condition=Ready", True),
        ("condition=ready", False),
        ("condition=Available", False),
        ("condition=Available=False", True),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.phase}=Bound", True),
        ("jsonpath={.status.phase}=Lost", False),
        ("jsonpath={$.spec.list[1].a}=2", True),
        ("jsonpath={.spec.list[*].a}=1", True),
        ("jsonpath={.spec.list[7].a}", False),
        ("jsonpath={.spec.flag}=true", True),
        ("jsonpath={.status['a.b']}=dotted", True),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', True),
        ('jsonpath={.status.conditions[?@.type=="Available"].status}=True', False),
        ('["condition=Ready", "jsonpath={.status.phase}=Bound"]', True),
        ('["condition=Ready", "jsonpath={.status.phase}=Lost"]', False),
    ],
)
def test_wait_for_conditions_and_paths(expression: str, *, ready: bool) -> None:
    assert conditions.parse(expression)(LIVE, Fixed()).ready == ready


def test_an_outdated_status_does_not_satisfy_a_condition() -> None:
    stale: Object = {**LIVE, "metadata": {"generation": 3}}
    assert not conditions.parse("jsonpath={.status.phase}=Bound")(stale, Fixed()).ready
    assert not conditions.parse("condition=Ready")(stale, Fixed()).ready


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("phase=Bound", 'expected a "jsonpath=" or "condition=" prefix'),
        ("[]", "at least one condition"),
        ("jsonpath=.status.phase", "wrapped in brackets"),
        ("jsonpath={.status.phase}=", "format is"),
        ("jsonpath={.status..phase}", "does not support"),
        ("condition=", "prefix"),
    ],
)
def test_an_invalid_wait_for_is_an_error_that_names_the_rule(expression: str, rule: str) -> None:
    with pytest.raises(PluginError) as failure:
        conditions.parse(expression)
    assert rule in failure.value.message
