"""The lifecycle rules and access policies of the buckets."""

import json

import pytest

from components.kubernetes.variables import SecretRef
from components.schema.purposes import PURPOSES, Purpose
from components.settings.load import parse
from components.stores.connections import Bucket
from components.stores.object_store.buckets import desired_state, lifecycle_rules, policy, prune_policy, verify_policy
from components.stores.object_store.expiry import expiries

KEY = SecretRef(name="secret", key="key")
BUCKETS = {purpose: Bucket(name=f"x-{purpose}", access_key_id=KEY, secret_access_key=KEY) for purpose in PURPOSES}


def test_expiry_follows_the_settings_and_media_never_expires() -> None:
    settings = parse("dev", {"host": "a.example.com", "objectStore": {"eventsDays": 90, "exportsDays": 3}})
    files = desired_state(BUCKETS, expiries(settings.object_store, backup_days=14, pruned=True))
    days = {
        name: {rule["Filter"]["Prefix"]: rule["Expiration"].get("Days") for rule in json.loads(text)["Rules"]}
        for name, text in files.items()
        if name.endswith(".lifecycle.json")
    }
    assert days == {
        "events.lifecycle.json": {"": 90},
        "exports.lifecycle.json": {"": 3},
        "backups.lifecycle.json": {"postgres/": 14, "cloudnative-pg/": 14, "": None},
    }


def test_sets_expire_only_where_no_job_removes_them_and_not_before_their_chain() -> None:
    settings = parse("dev", {"host": "a.example.com"})
    rules = expiries(settings.object_store, backup_days=14, pruned=False)["backups"]
    assert [(rule.prefix, rule.days) for rule in rules] == [("", 21)]
    props = {"expireDays": 14, "expirePrefixes": ["postgres/", "x/"], "versioning": True, "endpoint": "https://s3"}
    found = {rule["ID"]: (rule["Filter"]["Prefix"], rule.get("Expiration")) for rule in lifecycle_rules(props)}
    assert found == {
        "expire": ("", None),
        "expire-postgres": ("postgres/", {"Days": 14}),
        "expire-x": ("x/", {"Days": 14}),
    }


def test_the_key_that_removes_sets_cannot_write_and_reaches_nothing_else() -> None:
    document = json.loads(json.dumps(prune_policy("x-backups")))
    allowed = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    actions = {action for statement in allowed for action in statement["Action"]}
    assert actions == {"s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:DeleteObject"}
    assert document["Statement"][1]["Resource"] == [
        "arn:aws:s3:::x-backups/sets/*",
        "arn:aws:s3:::x-backups/clickhouse/*",
    ]


def test_the_key_that_reads_sets_writes_verdicts_and_nothing_else() -> None:
    document = json.loads(json.dumps(verify_policy("x-backups")))
    statements = {tuple(statement["Action"]): statement["Resource"] for statement in document["Statement"]}
    assert statements == {
        ("s3:ListBucket", "s3:GetBucketLocation"): ["arn:aws:s3:::x-backups"],
        ("s3:GetObject",): ["arn:aws:s3:::x-backups/*"],
        ("s3:PutObject",): ["arn:aws:s3:::x-backups/sets/*/verdicts/*"],
    }


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_policy_allows_listed_actions_on_its_own_bucket_only(purpose: Purpose) -> None:
    document = json.loads(json.dumps(policy(purpose, f"x-{purpose}")))
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]
        assert all(resource.startswith(f"arn:aws:s3:::x-{purpose}") for resource in statement["Resource"])
