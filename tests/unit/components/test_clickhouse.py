"""ClickHouse and Keeper: what changes when replicas are added, and what must not."""

from collections.abc import Sequence
from xml.etree import ElementTree

import pulumi

from components.clickhouse import ClickHouse, ClickHouseArgs, cluster_configuration
from components.connections import Bucket, Endpoint, ObjectStoreConnection, SecretRef
from components.files import config
from components.installation import Installation
from components.keeper import raft_configuration
from components.settings import parse
from tests.unit.recorder import Recording, record

HOSTS = ("one", "two", "three")


def clickhouse(*, replicas: int = 1, keepers: int = 1) -> Recording:
    settings = parse("dev", {"host": "langfuse.example.com"})
    password = SecretRef(name="secret", key="password")
    bucket = Bucket(name="the-bucket", access_key_id=password, secret_access_key=password)
    store = ObjectStoreConnection(
        endpoint=Endpoint(host="store", port=9000), region="here", force_path_style=True, buckets={"backups": bucket}
    )
    args = ClickHouseArgs(
        installation=Installation(instance="langfuse-dev", namespace="langfuse-dev", protect=True),
        settings=settings.clickhouse,
        password=password,
        backup_password=SecretRef(name="backup", key="password"),
        interserver_password=SecretRef(name="interserver", key="password"),
        backups=store,
        annotations={"checksum/secret": pulumi.Output.from_input("sum")},
        replicas=replicas,
        keepers=keepers,
    )
    return record(lambda: ClickHouse("clickhouse", args))


def texts(document: str, path: str) -> Sequence[str | None]:
    return [element.text for element in ElementTree.fromstring(document).iterfind(path)]  # noqa: S314  # our own


def test_the_cluster_has_one_shard_however_many_replicas() -> None:
    document = cluster_configuration(HOSTS, [Endpoint(host=host, port=9181) for host in HOSTS])
    assert texts(document, "remote_servers/default/shard/replica/host") == list(HOSTS)
    assert len(texts(document, "remote_servers/default/shard")) == 1
    assert texts(document, "remote_servers/default/shard/internal_replication") == ["true"]
    assert texts(document, "zookeeper/node/host") == list(HOSTS)


def test_every_keeper_has_the_id_of_its_ordinal() -> None:
    document = raft_configuration(HOSTS)
    assert texts(document, "keeper_server/raft_configuration/server/id") == ["1", "2", "3"]
    keeper = clickhouse(keepers=3).one("StatefulSet", "langfuse-keeper").inputs["spec"]
    assert keeper["ordinals"] == {"start": 1}
    (container,) = keeper["template"]["spec"]["containers"]
    identity = next(item for item in container["env"] if item["name"] == "KEEPER_ID")
    path = identity["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_each_pod_finds_a_volume_that_outlives_its_set() -> None:
    recording = clickhouse(replicas=3, keepers=3)
    claims = {claim.name for claim in recording.of("PersistentVolumeClaim")}
    expected = {f"data-langfuse-clickhouse-{ordinal}" for ordinal in (0, 1, 2)}
    assert claims == expected | {f"data-langfuse-keeper-{ordinal}" for ordinal in (1, 2, 3)}
    for name in ("langfuse-clickhouse", "langfuse-keeper"):
        server = recording.one("StatefulSet", name)
        assert {claim for claim in claims if name in claim} <= server.dependencies
        assert "spec.volumeClaimTemplates" in server.ignore_changes
        policy = server.inputs["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert server.protect


def test_more_replicas_change_no_field_that_would_replace_the_set() -> None:
    one, three = (
        clickhouse(replicas=number, keepers=number).one("StatefulSet", "langfuse-clickhouse").inputs["spec"]
        for number in (1, 3)
    )
    assert (one.pop("replicas"), three.pop("replicas")) == (1, 3)
    assert one == three


def test_every_value_that_the_files_take_from_the_environment_is_there() -> None:
    recording = clickhouse()
    documents = {
        "langfuse-clickhouse": [
            config("clickhouse/config.xml"),
            config("clickhouse/users.xml"),
            cluster_configuration(HOSTS, []),
        ],
        "langfuse-keeper": [config("keeper/config.xml"), raft_configuration(HOSTS)],
    }
    for name, files in documents.items():
        (container,) = recording.one("StatefulSet", name).inputs["spec"]["template"]["spec"]["containers"]
        given = {item["name"] for item in container["env"]}
        elements = [element for file in files for element in ElementTree.fromstring(file).iter()]  # noqa: S314  # ours
        taken = {element.attrib["from_env"] for element in elements if "from_env" in element.attrib}
        assert taken
        assert taken <= given


def test_query_log_is_the_only_system_log_and_forgets() -> None:
    server = ElementTree.fromstring(config("clickhouse/config.xml"))  # noqa: S314  # our own
    logs = [element for element in server if element.tag.endswith("_log")]
    assert [log.tag for log in logs] == ["query_log"]
    assert "DELETE" in (logs[0].findtext("ttl") or "")


def test_there_is_no_user_named_default() -> None:
    users = ElementTree.fromstring(config("clickhouse/users.xml")).find("users")  # noqa: S314  # our own
    assert users is not None
    assert {user.tag for user in users} == {"langfuse", "backup"}
    assert all("from_env" in (user.find("password") or user[0]).attrib for user in users)
