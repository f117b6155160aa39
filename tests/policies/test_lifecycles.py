"""What expires in buckets: how rules are read wherever they are written, and which of Langfuse's objects they reach."""

import json
from typing import Any

import pytest
from langfuse_policies.facts.bucket_lifecycles import Expiry, expiries
from langfuse_policies.facts.langfuse_object_storage import Target
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.testing import UNKNOWN, resource


def aws(rule: dict[str, Any]) -> Resource:
    return resource(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", {"bucket": "data", "rules": [rule]}
    )


def files(**data: str) -> Resource:
    return resource(
        "kubernetes:core/v1:ConfigMap", {"data": {name.replace("_", "."): text for name, text in data.items()}}
    )


def rules_file(rule: dict[str, Any]) -> str:
    return json.dumps({"Rules": [rule]})


def found(*resources: Resource) -> list[tuple[str, str, str, float | None]]:
    return [(one.bucket, one.hint, one.prefix, one.days) for one in expiries(Stack(resources))]


@pytest.mark.parametrize(
    ("rule", "prefix", "days"),
    [
        ({"status": "Enabled", "expiration": {"days": 30}}, "", 30),
        ({"status": "Enabled", "filter": {"prefix": "events/"}, "expiration": {"days": 30}}, "events/", 30),
        ({"filter": {"and": {"prefix": "media/"}}, "expiration": {"days": 9}}, "media/", 9),
        ({"prefix": "old/", "expiration": {"date": "2026-01-01"}}, "old/", None),
        ({"expiration": {"days": UNKNOWN}}, None, None),
    ],
)
def test_a_rule_of_s3(rule: dict[str, Any], prefix: str | None, days: float | None) -> None:
    assert found(aws(rule)) == ([] if prefix is None else [("data", "test", prefix, days)])


@pytest.mark.parametrize(
    "rule",
    [
        {"status": "Disabled", "expiration": {"days": 30}},
        {"filter": {"tag": {"key": "keep", "value": "no"}}, "expiration": {"days": 30}},
        {"noncurrentVersionExpiration": {"noncurrentDays": 3}},
        {"abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}},
        {"expiration": {"expiredObjectDeleteMarker": True}},
    ],
)
def test_rules_by_which_no_current_object_goes_for_certain(rule: dict[str, Any]) -> None:
    assert found(aws(rule)) == []


@pytest.mark.parametrize(
    ("command", "bucket", "prefix", "days"),
    [
        ("mc ilm rule add --expire-days 30 store/events", "events", "", 30),
        ("mc ilm rule add store/data --prefix media/ --expire-days=7", "data", "media/", 7),
        ('mc ilm add --expiry-days "14" "store/data/exports/"', "data", "exports/", 14),
        ("mc rm --recursive --force --older-than 30d store/data/media/", "data", "media/", 30),
        ("mc ilm rule add \\\n  --expire-days 30 \\\n  store/events", "events", "", 30),
        ('mc ilm rule add --expire-days 30 "store/$BUCKET"', "", "", 30),
    ],
)
def test_a_command_of_mc(command: str, bucket: str, prefix: str, days: float) -> None:
    ((name, _, of, after),) = found(files(run_sh=f"#!/bin/sh\nset -eu\n{command}\n"))
    assert (name, of, after) == (bucket, prefix, days)


def test_a_file_of_rules_is_about_the_bucket_that_it_is_imported_into() -> None:
    rules = rules_file({"Status": "Enabled", "Expiration": {"Days": 5}, "Filter": {"Prefix": ""}})
    script = "mc ilm rule import store/shop-media < /wanted/short.lifecycle.json"
    assert found(files(short_lifecycle_json=rules, run_sh=script)) == [("shop-media", "short", "", 5)]
    assert found(files(media_lifecycle_json=rules)) == [("", "media", "", 5)]


@pytest.mark.parametrize("text", ["[Expiration", '{"Expiration": 3}', '{"Rules": {"Expiration": 3}}', '["Expiration"]'])
def test_a_file_that_only_looks_like_rules_is_none(text: str) -> None:
    assert found(files(events_json=text)) == []


SHARED = Target("media", bucket="data", prefix="media/", endpoint="http://store:9000")
OWN = Target("media", bucket="shop-media", prefix="", endpoint="http://store:9000")
UNSEEN = Target("media", bucket="", prefix="", endpoint="")


@pytest.mark.parametrize(
    ("target", "bucket", "hint", "prefix", "reached"),
    [
        (SHARED, "data", "", "", True),
        (SHARED, "data", "", "media/", True),
        (SHARED, "data", "", "me", True),
        (SHARED, "data", "", "media/project-1/", True),
        (SHARED, "data", "", "events/", False),
        (SHARED, "data", "", "mediathek/", False),
        (SHARED, "other", "", "media/", False),
        (OWN, "shop-media", "", "", True),
        (OWN, "shop-events", "", "", False),
        (OWN, "", "media", "", True),
        (OWN, "", "events", "", False),
        (UNSEEN, "shop-media", "", "", True),
        (UNSEEN, "data", "", "media/", True),
        (UNSEEN, "data", "", "events/", False),
        (UNSEEN, "data", "", "", False),
    ],
)  # fmt: skip
def test_which_rules_reach_media(target: Target, bucket: str, hint: str, prefix: str, *, reached: bool) -> None:
    owner = resource("kubernetes:core/v1:ConfigMap", {})
    assert target.reached_by(Expiry(bucket, hint, prefix, 30, owner["data"], owner)) is reached
