"""Checks of how long backup sets are kept, and of the keys that remove them."""

import pytest

from components.backups.component import provided
from components.outputs import backups
from components.settings.load import parse
from components.stores.modes import StoreModes
from tests.unit.configuration import HOST, only_problem
from tests.unit.pods import container, variables
from tests.unit.program import recorded

EXTERNAL = {
    "mode": "external",
    "region": "eu-west-1",
    "buckets": {purpose: f"acme-{purpose}" for purpose in ("events", "media", "exports", "backups")},
}


def keys(*names: str) -> dict[str, object]:
    names = (*names, *(f"{use}{part}" for use in ("Events", "Media", "Exports", "Backups") for part in PARTS))
    sources = {f"objectStore{name}": {"source": "existing", "secret": "s3", "key": name} for name in names}
    return {"objectStore": EXTERNAL, "credentials": {"values": sources}}


PARTS = ("AccessKeyId", "SecretAccessKey")
PRUNE = tuple(f"Prune{part}" for part in PARTS)


@pytest.mark.parametrize(
    ("keep", "problem"),
    [
        ({"daily": 30, "weekly": 4}, "backups.keep.weekly: 4 weeks reach no further back than 30 days; set it to 5"),
        ({"weekly": 8, "monthly": 2}, "backups.keep.monthly: 2 months reach no further back"),
        ({"daily": 0}, "backups.keep.daily: 0 must be at least 1"),
        ({"minimum": 0}, "backups.keep.minimum: 0 must be at least 1"),
    ],
)
def test_periods_that_keep_nothing_are_refused(keep: dict[str, int], problem: str) -> None:
    assert problem in only_problem({"backups": {"keep": keep}})


def test_half_a_key_is_refused() -> None:
    for part, message in zip(PRUNE, ("PruneSecretAccessKey: is generated", "is not read by anything"), strict=True):
        assert message in only_problem(keys(part))


def test_an_external_store_is_pruned_only_with_a_key_of_its_own() -> None:
    assert not [item for item in recorded("dev", keys()).of("CronJob") if "retention" in item.name]
    (warning,) = StoreModes.of(parse("dev", {"host": HOST, **keys()})).object_store.warnings()
    assert "nothing removes old backup sets" in warning
    found = recorded("dev", {**keys(*PRUNE), "backups": {"keep": {"daily": 9, "weekly": 2}}})
    given = variables(container(found.one("CronJob", "langfuse-retention"), "prune"))
    assert given["ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "s3", "key": "PruneAccessKeyId"}}
    assert (given["BUCKET"], given["KEEP_DAILY"], given["KEEP_WEEKLY"]) == ("acme-backups", "9", "2")


VERIFY = tuple(f"Verify{part}" for part in PARTS)


def test_backups_in_an_external_store_are_verified_with_a_key_of_its_own_or_the_key_that_writes_them() -> None:
    for names, key in (((), "BackupsAccessKeyId"), (VERIFY, "VerifyAccessKeyId")):
        job = recorded("dev", keys(*names)).one("CronJob", "langfuse-verify-backups")
        given = variables(container(job, "verify"))
        assert given["ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "s3", "key": key}}
        assert (given["BUCKET"], given["ACTION"], given["SET_ID"]) == ("acme-backups", "verify", "")


def test_outputs_and_policies_learn_whose_the_backups_of_external_stores_are() -> None:
    said = {**keys(), "backups": {"providers": {"objectStore": "replicated to another region"}}}
    assert backups(parse("dev", {"host": HOST, **keys()}))["objectStore"] == "provider"
    assert provided(parse("dev", {"host": HOST, **keys()})) == {"objectStore": ""}
    assert provided(parse("dev", {"host": HOST, **said})) == {"objectStore": "replicated to another region"}
    assert provided(parse("dev", {"host": HOST})) == {}


def test_the_output_for_policies_says_how_far_back_sets_reach() -> None:
    outputs = {profile: recorded(profile).one("Backups") for profile in ("dev", "prod")}
    assert all(item.kind == "Backups" for item in outputs.values())
    settings = {profile: parse(profile, {"host": HOST}).backups.keep.days for profile in outputs}
    assert settings == {"dev": 7, "prod": 168}
