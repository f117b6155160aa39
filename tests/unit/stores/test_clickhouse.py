"""ClickHouse and Keeper: added replicas keep the identity and data of the existing ones."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pulumi
import pytest

from components.kubernetes.files import read_config
from components.kubernetes.variables import SecretRef
from components.schema import images
from components.settings.load import parse
from components.stores.clickhouse.cluster import backups_configuration, cluster_configuration
from components.stores.clickhouse.component import ClickHouse, clickhouse_mode
from components.stores.clickhouse.keeper import raft_configuration
from components.stores.clickhouse.managed import FILES, START_SECONDS
from components.stores.connections import Bucket, Endpoint, ObjectStoreConnection
from components.stores.contract import StoreContext
from tests.unit.pods import container, containers, variables
from tests.unit.recorder import Recording, record

HOSTS = ("one", "two", "three")


OURS = {"source": "existing", "secret": "ours"}
KEY = SecretRef(name="secret", key="password")
REFS = {
    f"clickhouse_{of}": SecretRef(name=of, key="password")
    for of in ("password", "backup_password", "restore_password", "interserver_password")
}
STORE = ObjectStoreConnection(
    endpoint=Endpoint(host="store", port=9000),
    region="here",
    force_path_style=True,
    buckets={"backups": Bucket(name="the-bucket", access_key_id=KEY, secret_access_key=KEY)},
)
S3 = ObjectStoreConnection(
    endpoint=Endpoint(host="s3.eu-west-1.amazonaws.com", port=443, tls=True),
    region="eu-west-1",
    force_path_style=False,
    buckets={"backups": Bucket(name="the-bucket")},
    identity={"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"},
)


def clickhouse(backups: ObjectStoreConnection = STORE, **settings: object) -> Recording:
    chosen = parse(
        "dev", {"host": "langfuse.example.com", "protect": True, "clickhouse": settings, "credentials": OURS}
    )

    def program() -> None:
        context = StoreContext(
            refs=REFS,
            checksum_annotations=lambda _: {"checksum/secret": pulumi.Output.from_input("sum")},
            object_store=backups,
        )
        ClickHouse("clickhouse", clickhouse_mode(chosen), context)

    return record(program)


def texts(document: str, path: str) -> Sequence[str | None]:
    return [element.text for element in ElementTree.fromstring(document).iterfind(path)]  # noqa: S314  # our own


def test_the_cluster_has_one_shard_with_any_number_of_replicas() -> None:
    document = cluster_configuration(HOSTS, [Endpoint(host=host, port=9181) for host in HOSTS])
    assert texts(document, "remote_servers/default/shard/replica/host") == list(HOSTS)
    assert len(texts(document, "remote_servers/default/shard")) == 1
    assert texts(document, "remote_servers/default/shard/internal_replication") == ["true"]
    assert texts(document, "zookeeper/node/host") == list(HOSTS)


def test_keeper_ids_are_the_pod_ordinals() -> None:
    document = raft_configuration(HOSTS)
    assert texts(document, "keeper_server/raft_configuration/server/id") == ["1", "2", "3"]
    keeper = clickhouse(keepers=3).one("StatefulSet", "langfuse-keeper")
    assert keeper.inputs["spec"]["ordinals"] == {"start": 1}
    path = variables(container(keeper))["KEEPER_ID"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_volumes_are_created_before_the_stateful_set_and_outlive_it() -> None:
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


def test_scaling_from_one_to_three_keeps_every_identity() -> None:
    one, three = clickhouse(replicas=1, keepers=1), clickhouse(replicas=3, keepers=3)
    for name in ("langfuse-clickhouse", "langfuse-keeper"):
        before, after = (it.one("StatefulSet", name).inputs["spec"] for it in (one, three))
        assert (before["replicas"], after["replicas"]) == (1, 3)
        # The only fields of a StatefulSet that may change (k8s.io/kubernetes/pkg/apis/apps/validation).
        free = {
            *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
            *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
        }
        assert {key: before[key] for key in before.keys() - free} == {key: after[key] for key in after.keys() - free}
    kept = {(item.kind, item.stable_name) for item in one}
    assert kept <= {(item.kind, item.stable_name) for item in three}
    for claim in one.of("PersistentVolumeClaim"):
        assert three.one("PersistentVolumeClaim", claim.name).inputs == claim.inputs


def test_adding_keepers_does_not_restart_the_first() -> None:
    one, three = clickhouse(keepers=1), clickhouse(keepers=3)
    before, after = (it.one("StatefulSet", "langfuse-keeper").inputs["spec"] for it in (one, three))
    assert before["template"] == after["template"]
    quorum = three.one("ConfigMap", "langfuse-keeper-quorum").inputs
    assert quorum["metadata"]["name"] == "langfuse-keeper-quorum"
    assert not quorum.get("immutable")
    assert quorum["data"] != one.one("ConfigMap", "langfuse-keeper-quorum").inputs["data"]


def keepers_become(before: int, after: int) -> None:
    """Run the hook that the engine runs before it updates the quorum."""
    old, new = (clickhouse(keepers=number).one("ConfigMap", "langfuse-keeper-quorum") for number in (before, after))
    recording = clickhouse(keepers=after)
    (name,) = recording.one("ConfigMap", "langfuse-keeper-quorum").update_hooks
    hook = recording.hooks[name]
    assert hook.opts
    assert hook.opts.on_dry_run
    hook.callback(pulumi.ResourceHookArgs("", "", "", "", new_inputs=new.inputs, old_inputs=old.inputs))


def test_removing_keepers_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"langfuse:clickhouse\.keepers: 1 is less than the 3 .* set it to 3"):
        keepers_become(3, 1)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 3)])
def test_keeping_or_adding_keepers_is_accepted(before: int, after: int) -> None:
    keepers_become(before, after)


def test_several_replicas_have_a_disruption_budget_of_one() -> None:
    assert not clickhouse(replicas=1, keepers=1).of("PodDisruptionBudget")
    budgets = clickhouse(replicas=3, keepers=3).of("PodDisruptionBudget")
    assert {item.name for item in budgets} == {"langfuse-clickhouse", "langfuse-keeper"}
    assert all(item.inputs["spec"]["maxUnavailable"] == 1 for item in budgets)


def test_replicas_and_keepers_are_spread_over_zones() -> None:
    recording = clickhouse(replicas=3, keepers=3)
    for server in recording.of("StatefulSet"):
        constraints = server.inputs["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert "topology.kubernetes.io/zone" in {constraint["topologyKey"] for constraint in constraints}


def test_added_keepers_start_as_followers() -> None:
    servers = ElementTree.fromstring(raft_configuration(HOSTS)).iterfind(".//server")  # noqa: S314  # our own
    assert [server.findtext("start_as_follower") for server in servers] == [None, "true", "true"]


def server(replicas: int) -> Mapping[str, Any]:
    return container(clickhouse(replicas=replicas, keepers=3).one("StatefulSet", "langfuse-clickhouse"))


def test_a_replica_copies_the_tables_of_the_others_before_it_is_ready() -> None:
    replica = server(replicas=3)
    assert replica["startupProbe"]["exec"]["command"][-1].endswith("/check-clickhouse-replica.sh")
    hosts = variables(replica)["REPLICAS"].split()
    assert [host.split(".")[0] for host in hosts] == [f"langfuse-clickhouse-{ordinal}" for ordinal in range(3)]


def test_the_startup_probe_allows_for_a_replica_that_is_catching_up() -> None:
    replica = server(replicas=3)
    longest = max(int(variables(replica)[name]) for name in ("CATCH_UP_SECONDS", "READ_ONLY_SECONDS"))
    probe = replica["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= START_SECONDS + longest
    # One call queries this server and two others, and each query may take until its client times out.
    assert probe["timeoutSeconds"] >= 30


def test_the_startup_probe_of_a_single_server_is_a_ping() -> None:
    assert server(replicas=1)["startupProbe"]["httpGet"]["path"] == "/ping"


def test_the_compatibility_setting_is_pinned() -> None:
    users = ElementTree.fromstring(read_config(FILES / "users.xml"))  # noqa: S314  # our own
    pinned = users.findtext("profiles/default/compatibility")
    assert pinned
    assert tuple(map(int, pinned.split("."))) <= tuple(map(int, images.CLICKHOUSE.tag.split(".")))[:2]


def test_the_configured_release_runs() -> None:
    recording = clickhouse(version="26.4.9.1")
    images = {item["image"].rsplit("/", 1)[1] for server in recording.of("StatefulSet") for item in containers(server)}
    assert images == {"clickhouse-server:26.4.9.1", "clickhouse-keeper:26.4.9.1"}


def test_an_external_server_creates_no_resources() -> None:
    recording = clickhouse(mode="external", host="a.clickhouse.cloud")
    assert [item.kind for item in recording] == ["ClickHouse"]


def test_an_external_server_is_reached_over_tls() -> None:
    cloud = {"mode": "external", "host": "a.clickhouse.cloud"}
    settings = parse("dev", {"host": "langfuse.example.com", "clickhouse": cloud, "credentials": OURS})
    connection = clickhouse_mode(settings).connection({"clickhouse_password": KEY})
    assert connection.http.http_url == "https://a.clickhouse.cloud:8443"
    assert (connection.native.authority, connection.native.tls) == ("a.clickhouse.cloud:9440", True)
    assert connection.clustered is False


def test_backups_with_a_workload_identity_need_no_keys() -> None:
    document = backups_configuration(S3)
    assert not texts(document, "named_collections/backups/access_key_id")
    assert texts(document, "s3/backups/use_environment_credentials") == ["true"]
    recording = clickhouse(S3)
    account = recording.one("ServiceAccount", "langfuse-clickhouse").inputs
    assert account["metadata"]["annotations"] == S3.identity
    assert account["automountServiceAccountToken"] is False
    found = variables(container(recording.one("StatefulSet", "langfuse-clickhouse")))
    backups = {name: value for name, value in found.items() if name.startswith("BACKUPS_")}
    assert backups == {"BACKUPS_URL": "https://the-bucket.s3.eu-west-1.amazonaws.com/"}


def test_every_variable_that_the_configuration_reads_is_set() -> None:
    recording = clickhouse()
    documents = {
        "langfuse-clickhouse": [
            read_config(FILES / "config.xml"),
            read_config(FILES / "users.xml"),
            cluster_configuration(HOSTS, []),
            backups_configuration(STORE),
        ],
        "langfuse-keeper": [read_config(FILES / "keeper.xml"), raft_configuration(HOSTS)],
    }
    for name, files in documents.items():
        given = variables(container(recording.one("StatefulSet", name))).keys()
        elements = [element for file in files for element in ElementTree.fromstring(file).iter()]  # noqa: S314  # ours
        taken = {element.attrib["from_env"] for element in elements if "from_env" in element.attrib}
        assert taken
        assert taken <= given


def test_query_log_is_the_only_system_log_and_expires() -> None:
    server = ElementTree.fromstring(read_config(FILES / "config.xml"))  # noqa: S314  # our own
    logs = [element for element in server if element.tag.endswith("_log")]
    assert [log.tag for log in logs] == ["query_log"]
    assert "DELETE" in (logs[0].findtext("ttl") or "")


def test_there_is_no_user_named_default() -> None:
    users = ElementTree.fromstring(read_config(FILES / "users.xml")).find("users")  # noqa: S314  # our own
    assert users is not None
    assert {user.tag for user in users} == {"langfuse", "backup", "restore"}
    assert all("from_env" in (user.find("password") or user[0]).attrib for user in users)
