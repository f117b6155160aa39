"""The lifecycle rules and access policies of the buckets."""

import json

import pytest

from components.kubernetes.variables import SecretRef
from components.schema.purposes import PURPOSES, Purpose
from components.settings.load import parse
from components.stores.connections import Bucket
from components.stores.object_store.buckets import desired_state, policy

KEY = SecretRef(name="secret", key="key")
BUCKETS = {purpose: Bucket(name=f"x-{purpose}", access_key_id=KEY, secret_access_key=KEY) for purpose in PURPOSES}


def test_expiry_follows_the_settings_and_media_never_expires() -> None:
    settings = parse("dev", {"host": "a.example.com", "objectStore": {"eventsDays": 90, "exportsDays": 3}})
    files = desired_state(BUCKETS, settings.object_store, backup_days=14)
    days = {
        name: json.loads(text)["Rules"][0]["Expiration"]["Days"]
        for name, text in files.items()
        if name.endswith(".lifecycle.json")
    }
    assert days == {"events.lifecycle.json": 90, "exports.lifecycle.json": 3, "backups.lifecycle.json": 14}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_policy_allows_listed_actions_on_its_own_bucket_only(purpose: Purpose) -> None:
    document = json.loads(json.dumps(policy(purpose, f"x-{purpose}")))
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]
        assert all(resource.startswith(f"arn:aws:s3:::x-{purpose}") for resource in statement["Resource"])
