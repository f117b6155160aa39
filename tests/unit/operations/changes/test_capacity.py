from __future__ import annotations

from decimal import Decimal

import pytest

from components.network.requests import steady_state_pods
from components.schema.requests import Requests
from components.settings.load import parse
from operations.changes.capacity import requests
from tests.unit.operations.changes.engine_events import CLAIM, DEPLOYMENT, JOB, Json, urn
from tests.unit.program import recorded

STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
GIB = Decimal(1024**3)
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands in an event for a value that is not known yet (sdk/go/common/resource/plugin/rpc.go)."""


def pod(cpu: str = "500m", memory: str = "1Gi") -> Json:
    container = {"resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"template": {"spec": {"containers": [container]}}}


def claim(storage: str = "10Gi") -> Json:
    return {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": storage}}}}


@pytest.mark.parametrize(
    ("profile", "config"),
    [
        ("dev", {}),
        ("prod", {}),
        ("staging", {"postgres": {"mode": "cloudnativepg", "instances": 3}}),
        ("staging", {"web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 7}}}),
    ],
)
def test_the_objects_of_a_stack_request_what_its_configuration_says(profile: str, config: Json) -> None:
    objects = {urn(item.type, item.name): item.inputs for item in recorded(profile, config) if item.custom}
    pods = steady_state_pods(parse(profile, {"host": f"{profile}.example.com", **config}))

    found = requests(objects)

    assert found == sum((item.total for item in pods), start=Requests())


def test_volumes_that_a_stateful_set_makes_itself_count_for_each_replica() -> None:
    item = {"metadata": {"name": "db"}, "spec": {**pod(), "replicas": 3, "volumeClaimTemplates": [claim()]}}
    assert requests({urn(STATEFUL_SET, "db"): item}) == Requests(cpu=Decimal("1.5"), memory=3 * GIB, storage=30 * GIB)


def test_volumes_whose_claims_are_in_the_stack_count_once() -> None:
    item = {"metadata": {"name": "db"}, "spec": {**pod(), "replicas": 2, "volumeClaimTemplates": [claim()]}}
    own = {**claim(), "metadata": {"name": "data-db-0"}}
    found = requests({urn(STATEFUL_SET, "db"): item, urn(CLAIM, "data-db-0"): own})
    assert found.storage == 20 * GIB


def test_an_autoscaled_deployment_counts_with_the_most_pods_there_may_be() -> None:
    scaler = {"spec": {"scaleTargetRef": {"name": "web"}, "maxReplicas": 8}}
    objects = {
        urn(DEPLOYMENT, "web"): {"metadata": {"name": "web"}, "spec": pod()},
        urn("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "web"): scaler,
    }
    assert requests(objects).cpu == 4


def test_a_sidecar_counts_and_an_init_container_that_ends_does_not() -> None:
    requested = {"resources": {"requests": {"cpu": "1"}}}
    spec: Json = pod()
    spec["template"]["spec"]["initContainers"] = [{**requested, "restartPolicy": "Always"}, requested]
    found = requests({urn(DEPLOYMENT, "web"): {"metadata": {"name": "web"}, "spec": spec}})
    assert found.cpu == Decimal("1.5")


def test_jobs_do_not_count() -> None:
    assert requests({urn(JOB, "migrations"): {"spec": pod()}}) == Requests()


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"spec": UNKNOWN},
        {"spec": {"template": UNKNOWN, "replicas": UNKNOWN, "volumeClaimTemplates": UNKNOWN}},
        {"spec": {"resources": {"requests": {"storage": UNKNOWN}}}},
        {"spec": {**pod(cpu=UNKNOWN, memory="[secret]")}},
    ],
)
@pytest.mark.parametrize("kind", [DEPLOYMENT, STATEFUL_SET, CLAIM, "kubernetes:postgresql.cnpg.io/v1:Cluster"])
def test_what_is_not_known_yet_counts_nothing(kind: str, item: Json) -> None:
    assert requests({urn(kind, "some"): item}) == Requests()


@pytest.mark.parametrize(
    ("cpu", "memory"), [("0.5", "1Gi"), (0.5, 1073741824), ("5e-1", "1073741824e0"), ("500e-3", "1024Mi")]
)
def test_every_spelling_of_an_amount_counts(cpu: str | float, memory: str | float) -> None:
    container = {"resources": {"requests": {"cpu": cpu, "memory": memory}}}
    item = {"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [container]}}}}
    assert requests({urn(DEPLOYMENT, "web"): item}) == Requests(cpu=Decimal("0.5"), memory=GIB)
