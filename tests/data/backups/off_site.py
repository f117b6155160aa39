"""Runs the containers that copy to a second object store, and back."""

from pathlib import Path

from sandbox.images import probe_application
from tests.data.backups.pods import NO_WARNING
from tests.data.containers import Run, install_client, run
from tests.data.object_store.minio import Store
from tests.data.rendered import environment, secrets
from tests.servers import tool
from tests.unit.configuration import HOST
from tests.unit.pods import container, containers
from tests.unit.program import recorded

MEDIA, BACKUPS = "langfuse-dev-media", "langfuse-dev-backups"
TARGET = "langfuse-dev-exports"
"""In the off-site store, with keys that cannot delete."""

KEYS = {
    "ACCESS_KEY_ID": secrets()["langfuse-object-store-exports", "access-key-id"],
    "SECRET_ACCESS_KEY": secrets()["langfuse-object-store-exports", "secret-access-key"],
}
OFF_SITE = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}


def copy(purpose: str, store: Store, other: str, folder: Path) -> Run:
    """Run one container of the CronJob."""
    recording = recorded("dev", {"host": HOST, "backups": {"offSite": OFF_SITE}})
    found = container(recording.one("CronJob", "langfuse-backup-off-site"), f"copy-{purpose}")
    given = {
        item["name"]: KEYS[item["valueFrom"]["secretKeyRef"]["key"]]
        for item in found["env"]
        if item.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == OFF_SITE["secret"]
    }
    own = {**found, "env": [item for item in found["env"] if item["name"] not in given]}
    address = {
        "STORE_WAIT_SECONDS": "0",
        "STORE_URL": store.url,
        "OFF_SITE_STORE_URL": other,
        "OFF_SITE_BUCKET": TARGET,
        "TMPDIR": str(folder),
    }
    install_client(folder / "clients", "rclone", tool("rclone"))
    return run(own, environment(own, **address) | given, folder / "clients")


def restore(folder: Path, store: Store, other: Store, **given: str) -> Run:
    """Run the containers of the CronJob that restores media, one after the other."""
    recording = recorded("dev", {"host": HOST, "backups": {"offSite": OFF_SITE}})
    address = {"STORE_URL": store.url, "OFF_SITE_STORE_URL": other.url, "OFF_SITE_BUCKET": TARGET, **given}
    keys = {f"OFF_SITE_{name}": value for name, value in KEYS.items()}
    install_client(folder / "clients", "rclone", tool("rclone"))
    (folder / "work").mkdir(exist_ok=True)
    paths = {"WORK_DIR": str(folder / "work"), "TMPDIR": str(folder), "HOME": str(folder)}
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    address["STORE_WAIT_SECONDS"] = "0"
    for found in containers(recording.one("CronJob", "langfuse-restore-media")):
        own = {**found, "env": [item for item in found["env"] if item["name"] not in keys]}
        names = {item["name"] for item in own["env"]}
        variables = {name: value for name, value in {**address, **paths}.items() if name in names}
        done = run(own, {**environment(own, **variables), **keys, **node}, folder / "clients")
        if done.code:
            break
    return done
