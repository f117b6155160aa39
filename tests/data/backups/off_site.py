"""Runs the containers that copy to a second object store, and back."""

from collections.abc import Mapping
from pathlib import Path

from components.backups.off_site import IDENTITY
from sandbox.images import probe_application
from tests.data.backups.conftest import KEYS as INSTALLATION
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
PREFIXES = {"PREFIX": "langfuse-prod-backups/", "MEDIA_PREFIX": "langfuse-prod-media/"}
"""The folders of another stack in the off-site store."""

OFF_SITE = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}


def copy(purpose: str, store: Store, other: str, folder: Path, settings: Mapping[str, object] | None = None) -> Run:
    """Run one container of the CronJob, with further keys of `backups.offSite`."""
    recording = recorded("dev", {"host": HOST, "backups": {"offSite": {**OFF_SITE, **(settings or {})}}})
    found = container(recording.one("CronJob", "langfuse-backup-off-site"), f"copy-{purpose}")
    given = {
        item["name"]: KEYS[item["valueFrom"]["secretKeyRef"]["key"]]
        for item in found["env"]
        if item.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == OFF_SITE["secret"]
    }
    own = {**found, "env": [item for item in found["env"] if item["name"] not in given]}
    (folder / "work").mkdir(exist_ok=True)
    address = {
        "STORE_WAIT_SECONDS": "0",
        "STORE_URL": store.url,
        "OFF_SITE_STORE_URL": other,
        "OFF_SITE_BUCKET": TARGET,
        "TMPDIR": str(folder),
        "WORK_DIR": str(folder / "work"),
        "HOME": str(folder),
    }
    names = {item["name"] for item in own["env"]}
    variables = environment(own, **{name: value for name, value in address.items() if name in names})
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    install_client(folder / "clients", "rclone", tool("rclone"))
    return run(own, {**variables, **given, **node}, folder / "clients")


def fetch(
    folder: Path,
    target: Store,
    source: Store,
    clients: Path | None = None,
    *,
    encrypted: bool = False,
    identity: str | None = None,
    **given: str,
) -> Run:
    """Run the containers of the CronJob that fetches a set one after the other, until one fails.

    Args:
        folder: For files.
        target: The store of the stack.
        source: The store with the copies of another stack.
        clients: A folder with another rclone.
        encrypted: Whether the stack expects encrypted copies.
        identity: The private key in the Secret; None if there is no Secret.
        given: More variables.
    """
    place = {"endpoint": source.url, "bucket": TARGET, "secret": "copies-of-prod", "encrypted": encrypted}
    recording = recorded("dev", {"host": HOST, "backups": {"importFrom": place}})
    (folder / "work").mkdir(parents=True, exist_ok=True)
    if clients is None:
        install_client(folder / "clients", "rclone", tool("rclone"))
        clients = folder / "clients"
    paths = {"WORK_DIR": str(folder / "work"), "TMPDIR": str(folder), "HOME": str(folder)}
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    outside = {**KEYS, **({} if identity is None else {"AGE_IDENTITY": identity})}
    output, lines = "", ""
    for found in containers(recording.one("CronJob", "langfuse-fetch-set")):
        references = {item["name"]: item.get("valueFrom", {}).get("secretKeyRef", {}) for item in found["env"]}
        theirs = {name: ref for name, ref in references.items() if ref.get("name") in {"copies-of-prod", IDENTITY}}
        copied = {name: outside[ref["key"]] for name, ref in theirs.items() if ref["key"] in outside}
        own = {**found, "env": [item for item in found["env"] if item["name"] not in theirs]}
        address = {} if "ACCESS_KEY_ID" in copied else {"STORE_URL": target.url}
        names = {item["name"] for item in own["env"]}
        variables = {
            name: value
            for name, value in {**PREFIXES, **INSTALLATION, **address, **paths, **given}.items()
            if name in names
        }
        done = run(own, {**environment(own, **variables), **copied, **node}, clients)
        output, lines = output + done.output, lines + done.command_lines
        if done.code:
            break
    return Run(code=done.code, output=output, command_lines=lines)


def restore(  # independent options
    folder: Path,
    store: Store,
    other: Store,
    *,
    settings: Mapping[str, object] | None = None,
    identity: str | None = None,
    **given: str,
) -> Run:
    """Run the containers of the CronJob that restores media, with a private key, if the Secret exists."""
    recording = recorded("dev", {"host": HOST, "backups": {"offSite": {**OFF_SITE, **(settings or {})}}})
    address = {"STORE_URL": store.url, "OFF_SITE_STORE_URL": other.url, "OFF_SITE_BUCKET": TARGET, **given}
    outside = {**KEYS, **({} if identity is None else {"AGE_IDENTITY": identity})}
    keys = {f"OFF_SITE_{name}": value for name, value in outside.items()}
    install_client(folder / "clients", "rclone", tool("rclone"))
    (folder / "work").mkdir(exist_ok=True)
    paths = {"WORK_DIR": str(folder / "work"), "TMPDIR": str(folder), "HOME": str(folder)}
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    address["STORE_WAIT_SECONDS"] = "0"
    for found in containers(recording.one("CronJob", "langfuse-restore-media")):
        theirs = {*keys, "OFF_SITE_AGE_IDENTITY"}
        own = {**found, "env": [item for item in found["env"] if item["name"] not in theirs]}
        names = {item["name"] for item in own["env"]}
        variables = {name: value for name, value in {**address, **paths}.items() if name in names}
        done = run(own, {**environment(own, **variables), **keys, **node}, folder / "clients")
        if done.code:
            break
    return done


def drill(store: Store, other: Store, folder: Path) -> Run:
    """Run the drill of media."""
    folder.mkdir(exist_ok=True)
    recording = recorded("dev", {"host": HOST, "backups": {"offSite": OFF_SITE}})
    found = container(recording.one("CronJob", "langfuse-drill-media"), "look")
    given = {f"OFF_SITE_{name}": value for name, value in KEYS.items()}
    own = {**found, "env": [item for item in found["env"] if item["name"] not in given]}
    replaced = {"STORE_URL": store.url, "OFF_SITE_STORE_URL": other.url, "OFF_SITE_BUCKET": TARGET}
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    done = run(own, environment(own, **replaced) | given | node, folder)
    assert done.leaks([value for (_, key), value in secrets().items() if key == "secret-access-key"]) == []
    return done
