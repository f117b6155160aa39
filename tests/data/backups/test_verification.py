"""The Job that reads sets back, with a real store: each fault is in a verdict, which retention and backups read."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from components.kubernetes.jobs import FAULT_EXIT
from tests.data.backups.conftest import GoodSet
from tests.data.backups.pods import BUCKET, Pod
from tests.data.containers import Run
from tests.data.rendered import secrets
from tests.servers import free_port


def job(good: GoodSet, folder: Path, name: str = "verify-backups", **variables: str) -> Run:
    """Run a Job that works with the bucket alone."""
    pod = Pod(cron_job=f"langfuse-{name}", clients={}, variables={"STORE_URL": good.store.url})
    done = pod.run(folder, **variables)
    assert done.leaks([value for (_, key), value in secrets().items() if key == "secret-access-key"]) == []
    return done


def listed(good: GoodSet, folder: Path) -> dict[str, dict[str, object]]:
    done = job(good, folder, ACTION="list")
    assert done.code == 0, done.output
    return {one["id"]: one for one in map(json.loads, done.output.splitlines())}


@pytest.mark.long
def test_a_good_set_is_verified_and_listed(good: GoodSet, tmp_path: Path) -> None:
    before = listed(good, tmp_path)[good.id]
    assert (before["manifest"], before["verdicts"], before["lacks"], before["kept"]) == (good.manifest, {}, None, True)
    done = job(good, tmp_path)
    assert done.code == 0, done.output
    key = f"sets/{good.id}/verdicts/verify.json"
    (verdict,) = good.verdicts().values()
    assert good.verdicts().keys() == {key}
    assert (verdict["format"], verdict["ok"], verdict["faults"], verdict["damaged"]) == (1, True, [], [])
    own = [content for path, content in good.content.items() if not path.endswith(".complete")]
    assert verdict["bytes"] == sum(map(len, own)), "every object but the manifests was read"
    after = listed(good, tmp_path)[good.id]
    assert (after["verdicts"], after["lacks"]) == ({"verify": verdict}, None)


@pytest.mark.long
def test_every_fault_is_found_and_takes_the_set_out_of_what_counts(good: GoodSet, tmp_path: Path) -> None:
    full, increment = good.chain
    changed, lost, dump = good.data(full), good.data(increment), f"sets/{good.id}/database.dump"
    content = bytearray(good.content[changed])
    content[len(content) // 2] ^= 1
    good.put(changed, bytes(content))
    good.delete(lost)
    good.put(dump, good.content[dump][:-100])
    good.put(f"sets/{good.id}/globals.sql", good.content[f"sets/{good.id}/globals.sql"].replace(b"CREATE", b"CREATF"))
    done = job(good, tmp_path)
    assert done.code == FAULT_EXIT, done.output
    (verdict,) = good.verdicts().values()
    size = len(good.content[dump])
    assert verdict["faults"] == [
        f"{dump} has {size - 100} bytes, not {size}",
        f"sets/{good.id}/globals.sql differs from what was written",
        f"{changed} differs from what was written",
        f"{lost} is missing",
    ]
    assert verdict["damaged"] == [folder.removeprefix("clickhouse/") for folder in good.chain]
    (line,) = [line for line in done.output.splitlines() if line.startswith("verify-backups: ")]
    assert line == f"verify-backups: set {good.id} can't be restored: {'; '.join(verdict['faults'])}"

    for path in (changed, lost, dump):
        good.put(path, good.content[path])  # somebody mends it: the verdict stays until the next run
    assert str(listed(good, tmp_path)[good.id]["lacks"]).startswith("verify: ")
    pruned = job(good, tmp_path, "retention", DRY_RUN="true")
    assert "1 sets, of which 0 can be restored; 0 are kept" in pruned.output
    backup = Pod(cron_job="langfuse-backup-clickhouse", clients={}, variables={"STORE_URL": good.store.url})
    begun = backup.run(tmp_path, only="begin")
    assert "a full backup: backup" in begun.output
    assert "is damaged, says a verdict" in begun.output


@pytest.mark.long
def test_a_manifest_that_is_lost_or_damaged_is_named(good: GoodSet, tmp_path: Path) -> None:
    good.delete(f"{good.chain[0]}/.complete")
    good.put(f"{good.chain[1]}/files.jsonl", b"{}")
    done = job(good, tmp_path)
    assert done.code == FAULT_EXIT
    (verdict,) = good.verdicts().values()
    first, second = good.chain
    assert verdict["faults"] == [
        f"{first}/.complete is missing or damaged",
        f"{second}/files.jsonl differs from what was written",
    ]


@pytest.mark.long
def test_without_a_set_or_a_store_there_is_an_error_and_no_verdict(good: GoodSet, tmp_path: Path) -> None:
    marker = f"sets/{good.id}/.complete"
    away = {"STORE_URL": f"http://127.0.0.1:{free_port()}"}
    refused = {"SECRET_ACCESS_KEY": "another-key-than-that-of-the-user"}
    for variables, message in ((away, "ECONNREFUSED"), (refused, "403"), ({"SET_ID": "x"}, "sets/x is no set")):
        done = job(good, tmp_path, **variables)
        assert done.code == 1, done.output
        assert message in done.output
        assert done.output.count("\n") == 1
    good.put(marker, good.content[marker][:-10])
    for message in ("is damaged and does not count", "no folder in sets/ has a .complete"):
        done = job(good, tmp_path)
        assert done.code == 1
        assert message in done.output
        good.delete(marker)
    assert good.verdicts() == {}


@pytest.mark.long
def test_its_user_reads_backups_and_writes_verdicts_and_nothing_else(good: GoodSet) -> None:
    user, marker = good.store.client("verify"), f"sets/{good.id}/.complete"
    user.put_object(Bucket=BUCKET, Key=f"sets/{good.id}/verdicts/verify.json", Body=b"{}")
    for request in (
        lambda: user.put_object(Bucket=BUCKET, Key=marker, Body=b"{}"),
        lambda: user.delete_object(Bucket=BUCKET, Key=marker),
        lambda: user.delete_object(Bucket=BUCKET, Key=f"sets/{good.id}/verdicts/verify.json"),
        lambda: user.get_object(Bucket="langfuse-dev-media", Key="any"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            request()
