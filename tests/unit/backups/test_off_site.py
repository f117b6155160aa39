"""The off-site copy: its credentials, its network policies and its schedule."""

from typing import Any

from components.backups.off_site import IDENTITY
from tests.data.rendered import RECIPIENT
from tests.unit.pods import containers, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording

OFF_SITE = {"endpoint": "https://s3.example.com:9443", "bucket": "copies", "secret": "off-site"}


def stack(**config: object) -> Recording:
    return recorded("dev", {"backups": {"offSite": OFF_SITE}, **config})


def test_there_is_no_copy_unless_it_is_configured() -> None:
    assert not [item.name for item in recorded("prod") if "off-site" in item.name]


def test_each_container_has_the_keys_of_one_bucket_and_of_the_off_site_store() -> None:
    secrets = {
        item["name"]: {value["secretKeyRef"]["name"] for value in variables(item).values() if isinstance(value, dict)}
        for item in containers(stack().one("CronJob", "langfuse-backup-off-site"))
    }
    assert secrets == {
        "copy-media": {"langfuse-object-store-media", "off-site"},
        "copy-backups": {"langfuse-object-store-backups", "off-site"},
    }


def secrets_of(found: Recording, cron_job: str) -> dict[str, dict[str, Any]]:
    """The references to Secrets of each container, by the names of the Secrets."""
    return {
        item["name"]: {
            value["secretKeyRef"]["name"]: value["secretKeyRef"]
            for value in variables(item).values()
            if isinstance(value, dict) and "secretKeyRef" in value
        }
        for item in containers(found.one("CronJob", cron_job))
    }


def test_only_what_reads_encrypted_copies_gets_the_private_key_and_starts_without_it() -> None:
    own = stack(backups={"offSite": {**OFF_SITE, "recipients": [RECIPIENT]}})
    others = stack(backups={"offSite": OFF_SITE, "importFrom": {**OFF_SITE, "encrypted": True}})
    place = {"name": IDENTITY, "key": "AGE_IDENTITY", "optional": True}
    readers = {"langfuse-fetch-set": {"choose-set", "copy-set", "copy-media"}, "langfuse-restore-media": {"copy-media"}}
    for found, expected in ((own, readers), (others, {**readers, "langfuse-restore-media": set()})):
        for item in found.of("CronJob"):
            given = {name: refs[IDENTITY] for name, refs in secrets_of(found, item.name).items() if IDENTITY in refs}
            assert given == dict.fromkeys(expected.get(item.name, ()), place), item.name
    copying = secrets_of(own, "langfuse-backup-off-site")
    assert {name: {*refs} for name, refs in copying.items()} == {
        "copy-media": {"langfuse-object-store-media", "off-site"},
        "copy-backups": {"langfuse-object-store-backups", "off-site"},
    }


def test_only_copies_restores_and_drills_may_reach_both_stores() -> None:
    found = stack()
    spec = found.one("NetworkPolicy", "langfuse-allow-off-site-egress").inputs["spec"]
    assert spec["podSelector"]["matchExpressions"][0]["values"] == [
        *("backup-off-site", "drill-media", "restore-media", "fetch-set")
    ]
    assert [port["port"] for port in spec["egress"][0]["ports"]] == [9443]
    clients = found.one("NetworkPolicy", "langfuse-allow-object-store-ingress").inputs["spec"]["ingress"][0]["from"]
    assert "backup-off-site" in clients[0]["podSelector"]["matchExpressions"][0]["values"]
    principals = found.one("AuthorizationPolicy", "langfuse-allow-object-store").inputs["spec"]["rules"][0]["from"]
    assert any("/sa/langfuse-backup-off-site" in name for name in principals[0]["source"]["principals"])


def test_a_copy_has_its_own_schedule_and_never_overlaps() -> None:
    specs = {item.name: item.inputs["spec"] for item in stack().of("CronJob")}
    scheduled = [spec["schedule"] for spec in specs.values() if not spec["suspend"]]
    assert len({*scheduled}) == len(scheduled)
    assert specs["langfuse-backup-off-site"]["concurrencyPolicy"] == "Forbid"
