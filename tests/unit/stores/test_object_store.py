"""The object store in every mode: the resources that it creates, and the connection of its clients."""

import base64
import json
import pickle
from typing import Any

import pytest

from components.kubernetes.variables import SecretRef
from components.schema.purposes import PURPOSES
from components.settings.load import parse
from components.stores.connections import Endpoint
from components.stores.contract import StoreContext
from components.stores.object_store.bucket_provider import BucketProvider
from components.stores.object_store.buckets import lifecycle_rules
from components.stores.object_store.component import ObjectStore, object_store_mode
from components.stores.object_store.external import aws_url
from tests.unit.pods import container, pod_spec, variables
from tests.unit.recorder import Recording, record

OURS = {"source": "existing", "secret": "ours"}
EXTERNAL: dict[str, Any] = {
    "mode": "external",
    "region": "eu-west-1",
    "buckets": {purpose: f"acme-{purpose}" for purpose in PURPOSES},
    "identity": "workload",
    "identityAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"},
}


def object_store(**settings: object) -> tuple[Recording, ObjectStore]:
    chosen = parse(
        "dev",
        {
            "host": "langfuse.example.com",
            "objectStore": settings,
            "protect": True,
            "credentials": OURS,
            "backups": {"retentionDays": 14},
        },
    )
    mode = object_store_mode(chosen)
    refs = {id_: SecretRef(name="e" if "encryption" in id_ else "s", key="key") for id_ in mode.credentials()}
    created: list[ObjectStore] = []

    def program() -> None:
        context = StoreContext(
            refs=refs,
            checksum_annotations=lambda names: {f"checksum/{name}": {"s": "sum", "e": "other"}[name] for name in names},
            object_store=mode.connection(refs),
        )
        created.append(ObjectStore("object-store", mode, context))

    recording = record(program)
    return recording, created[0]


def test_four_servers_share_one_list_of_addresses_and_start_in_parallel() -> None:
    recording, store = object_store(nodes=4)
    spec = recording.one("StatefulSet").inputs["spec"]
    name = "langfuse-object-store-cluster"
    drives = container(recording.one("StatefulSet"))["command"][2]
    assert drives == f"http://{name}-{{0...3}}.langfuse-object-store-headless.langfuse-dev.svc:9000/data"
    assert (spec["replicas"], spec["podManagementPolicy"]) == (4, "Parallel")
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    headless = recording.one("Service", "langfuse-object-store-headless").inputs["spec"]
    assert headless["publishNotReadyAddresses"] is True
    claims = {claim.name for claim in recording.of("PersistentVolumeClaim")}
    assert claims == {f"data-{name}-{ordinal}" for ordinal in range(4)}
    assert claims <= recording.one("StatefulSet").dependencies
    assert recording.one("PodDisruptionBudget").inputs["spec"]["maxUnavailable"] == 1
    assert store.connection.endpoint == Endpoint(host="langfuse-object-store", port=9000)


def test_each_of_four_servers_knows_its_address_and_has_started_once_it_joined() -> None:
    recording, _ = object_store(nodes=4)
    server = container(recording.one("StatefulSet"))
    env = variables(server)
    assert env["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    pods = [f"langfuse-object-store-cluster-{ordinal}" for ordinal in range(4)]
    own = [env["_MINIO_SERVER_LOCAL"].replace("$(POD_NAME)", pod) for pod in pods]
    assert env["SERVERS"].split() == own
    _, _, drives, *_ = server["command"]
    assert [drives.replace("{0...3}", str(ordinal)) for ordinal in range(4)] == [f"http://{one}/data" for one in own]
    probe = server["startupProbe"]
    *command, port, join, reconnect = probe["exec"]["command"]
    assert (command, port) == (["/bin/sh", "/scripts/wait-for-cluster.sh"], "9000")
    assert int(join) + int(reconnect) < probe["timeoutSeconds"]
    assert int(reconnect) >= 30  # the longest interval between two attempts: runHealthCheck in internal/rest/client.go
    assert {"name": "scripts", "mountPath": "/scripts", "readOnly": True} in server["volumeMounts"]
    single = container(object_store(nodes=1)[0].one("StatefulSet"))
    assert single["startupProbe"]["httpGet"]["path"] == "/minio/health/live"


def test_one_of_four_servers_serves_for_a_while_before_it_stops() -> None:
    """On SIGTERM it exits in the middle of requests, and their locks stay for minutes."""
    recording, _ = object_store(nodes=4)
    template = pod_spec(recording.one("StatefulSet"))
    program, seconds = template["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert 5 <= int(seconds) <= template["terminationGracePeriodSeconds"] / 2


def test_readiness_does_not_depend_on_the_other_servers() -> None:
    """Otherwise one unavailable server could remove all of them from the Service."""
    recording, _ = object_store(nodes=4)
    assert "cluster" not in container(recording.one("StatefulSet"))["readinessProbe"]["httpGet"]["path"]


def test_one_server_and_four_servers_never_share_a_volume() -> None:
    layouts = [
        {(item.kind, item.name) for item in object_store(nodes=nodes)[0] if item.kind in STATEFUL} for nodes in (1, 4)
    ]
    assert not layouts[0] & layouts[1]


STATEFUL = {"StatefulSet", "PersistentVolumeClaim"}


def test_the_configured_release_runs() -> None:
    recording, _ = object_store(version="RELEASE.2025-10-15T17-29-55Z")
    assert container(recording.one("StatefulSet"))["image"].endswith("/minio:RELEASE.2025-10-15T17-29-55Z")


def test_only_the_servers_read_the_encryption_key() -> None:
    recording, _ = object_store(nodes=4)
    readers = {
        item.kind
        for item in (recording.one("StatefulSet"), recording.one("Job"))
        for value in variables(container(item)).values()
        if isinstance(value, dict) and value.get("secretKeyRef", {}).get("name") == "e"
    }
    assert readers == {"StatefulSet"}
    server, job = (recording.one(kind).inputs["spec"]["template"]["metadata"] for kind in ("StatefulSet", "Job"))
    assert server["annotations"].keys() == {"checksum/s", "checksum/e"}
    assert job["annotations"].keys() == {"checksum/s"}


def test_an_external_store_creates_no_resources_in_the_cluster() -> None:
    recording, store = object_store(**EXTERNAL)
    assert [item.kind for item in recording] == ["ObjectStore"]
    assert store.ready == []
    assert store.connection.endpoint.http_url == "https://s3.eu-west-1.amazonaws.com"
    assert store.connection.served_buckets == []
    assert store.connection.bucket_url("media") == "https://acme-media.s3.eu-west-1.amazonaws.com/"


def test_a_workload_identity_replaces_access_keys() -> None:
    _, store = object_store(**EXTERNAL)
    assert all(bucket.keys("") == {} for bucket in store.connection.buckets.values())
    assert store.connection.account_annotations == EXTERNAL["identityAnnotations"]
    _, keyed = object_store(**{**EXTERNAL, "identity": "keys"})
    assert all(len(bucket.keys("")) == 2 for bucket in keyed.connection.buckets.values())
    assert keyed.connection.account_annotations == {}


def test_managed_buckets_of_an_external_store_are_created_and_waited_for() -> None:
    recording, store = object_store(**EXTERNAL, manageBuckets=True, kmsKeyId="key", encryption="aws:kms")
    made = {item.inputs["name"]: item for item in recording.of("Bucket")}
    assert made.keys() == {f"acme-{purpose}" for purpose in PURPOSES}
    assert len(store.ready) == 4
    days = {name: item.inputs.get("expireDays") for name, item in made.items()}
    assert days == {"acme-events": 30, "acme-media": None, "acme-exports": 7, "acme-backups": 21}
    for item in made.values():
        assert (item.protect, item.retain_on_delete) == (True, True)
        assert (item.inputs["encryption"], item.inputs["kmsKeyId"]) == ("aws:kms", "key")
        assert not item.secrets
        assert "AWS" not in json.dumps(item.inputs)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://s3.example.com", Endpoint(host="s3.example.com", port=443, tls=True)),
        ("http://minio:9000", Endpoint(host="minio", port=9000)),
        ("http://minio", Endpoint(host="minio", port=80)),
    ],
)
def test_an_endpoint_and_its_url_are_converted_both_ways(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.of_url(url) == endpoint
    assert endpoint.http_url == url


def test_regions_in_china_have_their_own_domain() -> None:
    assert aws_url("cn-north-1") == "https://s3.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("props", "keys"),
    [
        ({"expireDays": 3, "versioning": False, "endpoint": "http://x"}, {"Expiration"}),
        ({"expireDays": None, "versioning": True, "endpoint": "http://x"}, {"NoncurrentVersionExpiration"}),
        ({"expireDays": None, "versioning": False, "endpoint": ""}, {"AbortIncompleteMultipartUpload"}),
    ],
)
def test_lifecycle_rules_use_what_the_store_supports(props: dict[str, object], keys: set[str]) -> None:
    (rule,) = lifecycle_rules(props)
    assert rule.keys() - {"ID", "Status", "Filter"} == keys


def test_a_bucket_without_expiry_has_no_lifecycle_rule() -> None:
    assert lifecycle_rules({"expireDays": None, "versioning": False, "endpoint": "http://x"}) == []


def test_states_that_name_the_provider_by_its_former_module_still_load() -> None:
    """The value of `__provider` in a state from before `components/` had packages (pulumi.dynamic pickles by name)."""
    former = "gASVNAAAAAAAAACMGmNvbXBvbmVudHMuYnVja2V0X3Byb3ZpZGVylIwOQnVja2V0UHJvdmlkZXKUk5QpgZQu"
    assert isinstance(pickle.loads(base64.b64decode(former)), BucketProvider)  # noqa: S301  # the literal above
