import contextlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pulumi
import pytest

from components.schema import images
from components.stores.postgres.release import refuse_another_major
from tests.unit.configuration import only_problem
from tests.unit.pods import container, containers, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
EXISTING = {"source": "existing", "secret": "mine", "key": "password"}
EXTERNAL: dict[str, object] = {
    "mode": "external",
    "host": "pooler.example.com",
    "port": 6432,
    "directHost": "pg.example.com",
    "directPort": 5433,
    "pooler": True,
    "version": "16.9",
    "username": "app.tenant",
    "database": "traces",
}


def external(**settings: object) -> Recording:
    store = {key: value for key, value in {**EXTERNAL, **settings}.items() if value is not None}
    return recorded("dev", {"postgres": store, "credentials": {"values": {"postgresPassword": EXISTING}}})


def cluster(**config: object) -> Recording:
    return recorded("prod", {"postgres": {"mode": "cloudnativepg"}, **config})


def spec(recording: Recording, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = recording.one(kind).inputs["spec"]
    return found


def test_the_application_uses_the_pooler_and_migrations_bypass_it() -> None:
    recording = external()
    tls = "sslmode=require&sslaccept=strict"
    found = variables(container(recording.one("Job", "langfuse-migrations")))
    user = "app.tenant:$(DATABASE_PASSWORD)"
    assert (
        found["DATABASE_URL"]
        == f"postgresql://{user}@pooler.example.com:6432/traces?{tls}&pgbouncer=true&connection_limit=10"
    )
    assert found["DIRECT_URL"] == f"postgresql://{user}@pg.example.com:5433/traces?{tls}"
    assert list(found).index("DATABASE_PASSWORD") < list(found).index("DATABASE_URL")
    assert found["DATABASE_PASSWORD"] == {"secretKeyRef": {"name": "mine", "key": "password"}}


@pytest.mark.parametrize(
    ("tls", "ca", "prisma", "libpq"),
    [
        ("disable", None, "sslmode=disable", {"PGSSLMODE": "disable"}),
        ("require", None, "sslmode=require&sslaccept=accept_invalid_certs", {"PGSSLMODE": "require"}),
        (
            "verify",
            None,
            "sslmode=require&sslaccept=strict",
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/client/ca-bundle.pem"},
        ),
        (
            "verify",
            CA,
            "sslmode=require&sslaccept=strict&sslcert=/etc/langfuse/certificates/postgres.pem",
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/langfuse/certificates/postgres.pem"},
        ),
    ],
)
def test_each_tls_mode_is_translated_for_prisma_and_libpq(
    tls: str, ca: str | None, prisma: str, libpq: dict[str, str]
) -> None:
    recording = external(tls=tls, ca=ca)
    web = container(recording.one("Deployment", "langfuse-web"))
    assert variables(web)["DIRECT_URL"].partition("?")[2] == prisma
    dump = container(recording.one("CronJob", "langfuse-backup-postgres"), "write-dump")
    given = {name: value for name, value in variables(dump).items() if name.startswith("PGSSL")}
    assert given == libpq
    assert (variables(dump)["PGHOST"], variables(dump)["PGPORT"]) == ("pg.example.com", "5433")


@pytest.mark.parametrize(
    ("record", "release"),
    [
        (partial(recorded, "dev", {"postgres": {"mode": "managed", "version": "16.9"}}), "16.9"),
        (partial(cluster, postgres={"mode": "cloudnativepg", "version": "18.4"}), "18.4"),
        (partial(external, version="15.12"), "15.12"),
    ],
    ids=["managed", "cloudnativepg", "external"],
)
def test_clients_have_the_release_of_the_server(record: Callable[[], Recording], release: str) -> None:
    recording, found = record(), []
    for kind, name in (("Job", "langfuse-migrations"), ("CronJob", "langfuse-backup-postgres")):
        images = [item["image"] for item in containers(recording.one(kind, name))]
        found += [image for image in images if "/postgres:" in image]
    assert [image.rpartition(":")[2] for image in found] == [release, release]


def test_a_private_ca_is_mounted_in_every_client() -> None:
    recording = external(ca=CA)
    bundle = recording.one("ConfigMap", "langfuse-certificates-ca-bundles")
    assert bundle.inputs["data"] == {"postgres.pem": CA}
    for kind, name in (
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        ("Job", "langfuse-migrations"),
        ("CronJob", "langfuse-backup-postgres"),
    ):
        clients = [
            item
            for item in containers(recording.one(kind, name))
            if {"DATABASE_URL", "PGHOST"} & variables(item).keys()
        ]
        assert clients
        for client in clients:
            paths = [mount["mountPath"] for mount in client["volumeMounts"]]
            assert "/etc/langfuse/certificates" in paths, (name, client["name"])


def test_without_a_private_ca_there_is_no_ca_bundle() -> None:
    assert not [item for item in external().of("ConfigMap") if "certificates" in item.name]


def test_an_external_server_is_backed_up_by_a_client_of_its_release() -> None:
    recording = external()
    assert not [item for item in recording if item.name == "langfuse-postgres" and item.kind != "Secret"]
    dump = container(recording.one("CronJob", "langfuse-backup-postgres"), "write-dump")
    assert dump["image"].endswith("/postgres:16.9")


def test_clients_may_reach_an_external_server_on_its_ports() -> None:
    policy = external().one("NetworkPolicy", "langfuse-allow-postgres-egress").inputs["spec"]
    assert [port["port"] for port in policy["egress"][0]["ports"]] == [5433, 6432]
    names = policy["podSelector"]["matchExpressions"][0]["values"]
    assert set(names) == {
        *("web", "worker", "first-start", "migrations"),
        *("backup-before-upgrade", "backup-postgres", "repair-schema", "restore-postgres"),
    }


def test_a_pooler_without_a_direct_host_is_refused() -> None:
    postgres = {key: value for key, value in EXTERNAL.items() if not key.startswith("direct")}
    error = only_problem({"postgres": postgres, "credentials": {"values": {"postgresPassword": EXISTING}}})
    assert "langfuse:postgres.directHost: is required with pooler true" in error


def test_a_cloudnative_pg_cluster_has_the_configured_size_owner_and_protection() -> None:
    recording = cluster(postgres={"mode": "cloudnativepg", "instances": 3, "storage": "70Gi"})
    item = recording.one("Cluster")
    found = spec(recording, "Cluster")
    assert found["instances"] == 3
    assert found["storage"]["size"] == "70Gi"
    assert found["enableSuperuserAccess"] is False
    assert found["enablePDB"] is True
    assert found["bootstrap"]["initdb"] | {"database": "langfuse", "owner": "langfuse"} == found["bootstrap"]["initdb"]
    assert found["postgresql"]["parameters"]["timezone"] == "UTC"
    assert {one["topologyKey"] for one in found["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    assert found["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["resources"]["requests"]["memory"] == found["resources"]["limits"]["memory"]
    assert item.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}
    assert (item.protect, item.retain_on_delete) == (True, True)
    assert not [one for one in recording.of("StatefulSet") if "postgres" in one.name]


def test_cloudnative_pg_reads_role_and_password_from_one_secret() -> None:
    recording = cluster()
    name = spec(recording, "Cluster")["bootstrap"]["initdb"]["secret"]["name"]
    secret = recording.one("Secret", name).inputs["stringData"]
    assert secret["username"] == "langfuse"
    assert secret["password"]


def test_an_external_secret_for_cloudnative_pg_contains_the_role() -> None:
    store = {"secretStore": {"name": "vault"}, "source": "external-secrets"}
    recording = cluster(credentials=store)
    name = spec(recording, "Cluster")["bootstrap"]["initdb"]["secret"]["name"]
    copied = next(item for item in recording.of("ExternalSecret") if item.inputs["spec"]["target"]["name"] == name)
    assert copied.inputs["spec"]["target"]["template"] == {"mergePolicy": "Merge", "data": {"username": "langfuse"}}


def test_a_password_under_another_key_is_refused_for_cloudnative_pg() -> None:
    credentials = {"values": {"postgresPassword": {**EXISTING, "key": "PG"}}}
    error = only_problem({"postgres": {"mode": "cloudnativepg"}, "credentials": credentials})
    assert "postgresPassword.key: is not the key that CloudNativePG reads" in error


def test_wal_and_base_backups_are_stored_in_the_backups_bucket() -> None:
    recording = cluster()
    archive = (
        spec(recording, "ObjectStore")
        if len(recording.of("ObjectStore")) == 1
        else next(item.inputs["spec"] for item in recording.of("ObjectStore") if item.custom)
    )
    assert archive["configuration"]["destinationPath"] == "s3://langfuse-prod-backups/cloudnative-pg"
    credentials = archive["configuration"]["s3Credentials"]
    assert {one["name"] for one in credentials.values()} == {"langfuse-object-store-backups"}
    assert "retentionPolicy" not in json.dumps(archive)
    (plugin,) = spec(recording, "Cluster")["plugins"]
    assert (plugin["name"], plugin["isWALArchiver"]) == ("barman-cloud.cloudnative-pg.io", True)
    assert plugin["parameters"]["barmanObjectName"] == "langfuse-postgres"
    backup = spec(recording, "ScheduledBackup")
    assert backup["schedule"] == "0 15 */6 * * *"
    assert backup["pluginConfiguration"]["name"] == plugin["name"]
    assert backup["cluster"]["name"] == "langfuse-postgres"


def test_the_application_writes_to_the_primary_over_tls() -> None:
    web = container(cluster().one("Deployment", "langfuse-web"))
    url = variables(web)["DATABASE_URL"]
    assert "@langfuse-postgres-rw:5432/langfuse?sslmode=require" in url


def test_the_cluster_admits_the_operator_its_members_and_its_clients() -> None:
    rules = cluster().one("NetworkPolicy", "langfuse-allow-postgres-ingress").inputs["spec"]
    assert rules["podSelector"] == {"matchLabels": {"cnpg.io/cluster": "langfuse-postgres"}}
    clients, members = rules["ingress"]
    assert [port["port"] for port in clients["ports"]] == [5432]
    assert {port["port"] for port in members["ports"]} == {5432, 8000}


def test_the_schedule_of_cloudnative_pg_has_a_field_for_seconds() -> None:
    assert cluster().one("ScheduledBackup").inputs["spec"]["schedule"] == "0 15 */6 * * *"


def test_cloudnative_pg_starts_base_backups_when_a_cron_job_of_the_same_schedule_starts() -> None:
    """Its parser takes `*/2` for every day, and would start them on Mondays alone."""
    recording = recorded("dev", {"postgres": {"mode": "cloudnativepg"}, "backups": {"postgresSchedule": "0 2 */2 * 1"}})
    assert spec(recording, "ScheduledBackup")["schedule"] == "0 0 2 1-31/2 * 1"


@pytest.mark.parametrize("version", ["15.18", "16.9", "17.10", "18.4"])
def test_the_configured_release_runs_with_a_locale_of_every_image(version: str) -> None:
    recording = recorded("dev", {"postgres": {"mode": "managed", "version": version}})
    initialize, server = containers(recording.one("StatefulSet", "langfuse-postgres"))
    assert initialize["image"] == server["image"]
    assert server["image"].endswith(f"/postgres:{version}")
    options = variables(initialize)["POSTGRES_INITDB_ARGS"].split()
    assert "--locale=C.UTF-8" in options, "without a locale, initdb would use LANG of the image"
    assert ("--locale-provider=builtin" in options) is (int(version.split(".", maxsplit=1)[0]) >= 17)
    assert variables(initialize)["PGDATA"] == variables(server)["PGDATA"]


def test_only_initialization_reads_a_password() -> None:
    server = container(recorded("dev").one("StatefulSet", "langfuse-postgres"))
    assert not [name for name in variables(server) if "PASSWORD" in name]


def update_release(before: str, after: str, mode: str, kind: str) -> None:
    """Run the hook about releases that the engine runs before it updates the server, also in a preview."""
    old, new = (recorded("dev", {"postgres": {"mode": mode, "version": one}}) for one in (before, after))
    item = new.one(kind, "langfuse-postgres")
    assert "postgres-keeps-its-major-release" in item.update_hooks
    hook = new.hooks["postgres-keeps-its-major-release"]
    assert hook.opts
    assert hook.opts.on_dry_run
    inputs = old.one(kind, "langfuse-postgres").inputs
    hook.callback(pulumi.ResourceHookArgs("", "", "", "", new_inputs=item.inputs, old_inputs=inputs))


MODES = [("managed", "StatefulSet"), ("cloudnativepg", "Cluster")]


@pytest.mark.parametrize(("mode", "kind"), MODES)
@pytest.mark.parametrize(("before", "after"), [("17.10", "18.4"), ("18.4", "17.10"), ("15.12", "17.10")])
def test_a_major_upgrade_or_downgrade_is_refused(before: str, after: str, mode: str, kind: str) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        update_release(before, after, mode, kind)
    assert f'langfuse:postgres.version: "{after}" can\'t read the data of {before}' in str(raised.value)
    assert f"keep to {before.split('.', maxsplit=1)[0]}" in str(raised.value)


@pytest.mark.parametrize(("mode", "kind"), MODES)
@pytest.mark.parametrize(("before", "after"), [("17.9", "17.10"), ("17.10", "17.9"), ("18.4", "18.4")])
def test_a_minor_upgrade_or_downgrade_is_accepted(before: str, after: str, mode: str, kind: str) -> None:
    update_release(before, after, mode, kind)


@pytest.mark.parametrize(
    ("image", "refused"),
    [
        ("registry.example.com:5000/postgres:17.10@sha256:" + "0" * 64, True),
        ("registry.example.com:5000/postgres:18.0-bookworm", False),
        ("registry.example.com:5000/postgres", False),
        (None, False),
    ],
)
def test_the_release_is_read_from_any_image_reference(image: str | None, *, refused: bool) -> None:
    new = recorded("dev", {"postgres": {"mode": "managed", "version": "18.4"}}).one("StatefulSet", "langfuse-postgres")
    old = {"spec": {"template": {"spec": {"containers": [{"name": "postgres", "image": image}]}}}}
    args = pulumi.ResourceHookArgs("", "", "", "", new_inputs=new.inputs, old_inputs=old)
    with pytest.raises(pulumi.RunError) if refused else contextlib.nullcontext():
        refuse_another_major(args)


def test_a_server_of_an_unknown_release_is_backed_up_by_the_newest_client() -> None:
    dump = container(external(version=None).one("CronJob", "langfuse-backup-postgres"), "write-dump")
    assert dump["image"].endswith(f"/postgres:{images.NEWEST_POSTGRES}")


COPYING = {"mode": "managed", "version": "17.6", "upgradeTo": "18.4"}
SWITCHED = {"mode": "managed", "version": "18.4", "volume": 18, "former": {"version": "17.6"}}


def test_an_upgrade_copies_into_a_volume_of_its_own_while_the_server_stays_as_it_is() -> None:
    before, copying = (recorded("prod", {"postgres": {**COPYING, **more}}) for more in ({"upgradeTo": None}, {}))
    server = ("StatefulSet", "langfuse-postgres")
    assert copying.one(*server).inputs == before.one(*server).inputs
    job = copying.one("Job", "langfuse-postgres-upgrade")
    copy = container(job)
    assert copy["image"].endswith("/postgres:18.4")
    spec = job.inputs["spec"]["template"]["spec"]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if "persistentVolumeClaim" in one]
    assert claims == ["langfuse-postgres-data-18"]
    assert copying.one("PersistentVolumeClaim", "langfuse-postgres-data-18").protect
    rule = copying.one("NetworkPolicy", "langfuse-allow-postgres-ingress").inputs["spec"]["ingress"][0]
    assert "postgres-upgrade" in rule["from"][0]["podSelector"]["matchExpressions"][0]["values"]


def test_a_switch_keeps_the_former_volume_and_changes_the_server_in_place() -> None:
    copying, switched = (recorded("prod", {"postgres": config}) for config in (COPYING, SWITCHED))
    claims = {"langfuse-postgres-data", "langfuse-postgres-data-18"}
    for recording in (copying, switched):
        found = {item.name: item for item in recording.of("PersistentVolumeClaim") if item.name in claims}
        assert found.keys() == claims
        assert (
            found["langfuse-postgres-data"].inputs
            == copying.one("PersistentVolumeClaim", "langfuse-postgres-data").inputs
        )
    old, new = (one.one("StatefulSet", "langfuse-postgres").inputs for one in (copying, switched))
    refuse_another_major(pulumi.ResourceHookArgs("", "", "", "", new_inputs=new, old_inputs=old))
    refuse_another_major(pulumi.ResourceHookArgs("", "", "", "", new_inputs=old, old_inputs=new))  # the way back
    server = new["spec"]["template"]["spec"]
    assert server["initContainers"][0]["command"] == ["/bin/sh", "/scripts/require-database.sh"]
    old["spec"]["template"], new["spec"]["template"] = {}, {}
    for inputs in (old, new):
        inputs["metadata"]["labels"] = {}
    assert old == new  # only the template changes, which Kubernetes updates in place


@pytest.mark.parametrize(("storage", "megabytes"), [("1Gi", 102), ("5Gi", 512), ("50Gi", 1024), ("1Ti", 1024)], ids=str)
def test_the_log_of_postgres_leaves_room_on_a_small_volume(storage: str, megabytes: int) -> None:
    config = {"mode": "managed", "version": "17.10", "storage": storage, "upgradeTo": "18.4"}
    recording = recorded("dev", {"postgres": config})
    text = "".join(item.inputs["data"].get("postgresql.conf", "") for item in recording.of("ConfigMap"))
    assert f"\nmax_wal_size = {megabytes}MB\n" in text
    copy = container(recording.one("Job", "langfuse-postgres-upgrade"), "copy")
    assert variables(copy)["MAX_WAL_SIZE"] == f"{megabytes}MB"
    operated = cluster(postgres={"mode": "cloudnativepg", "storage": storage})
    assert spec(operated, "Cluster")["postgresql"]["parameters"]["max_wal_size"] == f"{megabytes}MB"
