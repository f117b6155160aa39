"""The settings of the policies on secrets and on Langfuse: each moves its bound, in both directions."""

import datetime
from typing import Any

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged, resource, resources_of

from tests.policies.corpus import FOLDER

BASE = resources_of((FOLDER / "base" / "langfuse.yaml").read_text())


def web(name: str, value: str) -> Resource:
    container = {"name": "web", "image": "langfuse/langfuse:4.16.0", "env": [{"name": name, "value": value}]}
    return resource("kubernetes:apps/v1:Deployment", {"spec": {"template": {"spec": {"containers": [container]}}}})


def password(length: int) -> Resource:
    return resource("random:index/randomPassword:RandomPassword", {"length": length, "special": False})


def rotated(days: int) -> Resource:
    """A Secret that was rotated so many days ago."""
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days)
    return resource("kubernetes:core/v1:Secret", {"metadata": {"annotations": {"example.com/rotated-at": str(day)}}})


SEGMENTS = "LANGFUSE_LLM_CONNECTION_WHITELISTED_IP_SEGMENTS"


@pytest.mark.parametrize(
    ("policy", "subject", "stricter", "wider"),
    [
        ("password-length", [password(20)], {"minimum": 21}, {"minimum": 20}),
        ("password-length", [password(30)], {"minimum": 31}, {"minimum": 24}),
        ("secret-rotated", [rotated(60)], {"days": 30}, {"days": 61}),
        ("secret-rotated", [rotated(200)], {"days": 90}, {"days": 365}),
        ("session-length", [web("AUTH_SESSION_MAX_AGE", "20000")], {"minutes": 19999}, {"minutes": 20000}),
        ("session-length", [web("NODE_ENV", "production")], {"minutes": 43199}, {"minutes": 43200}),
        ("no-broad-allow-list", [web(SEGMENTS, "10.1.0.0/16")], {"ipv4_prefix": 17}, {"ipv4_prefix": 16}),
        ("no-broad-allow-list", [web(SEGMENTS, "fd00:1::/56")], {"ipv6_prefix": 64}, {"ipv6_prefix": 56}),
        ("events-expire", BASE, {"minimum": 31}, {"minimum": 30}),
        ("events-expire", BASE, {"maximum": 29}, {"maximum": 30}),
        ("exports-expire", BASE, {"minimum": 8}, {"minimum": 7}),
        ("exports-expire", BASE, {"maximum": 6}, {"maximum": 7}),
        ("redis-memory-bounded", BASE, {"percent": 50}, {"percent": 100}),
    ],
)
def test_a_setting_moves_its_bound(
    policy: str, subject: list[Resource], stricter: dict[str, Any], wider: dict[str, Any]
) -> None:
    settings = POLICIES[policy].settings
    assert settings is not None
    assert judged(POLICIES[policy], subject, settings.read(stricter))
    assert judged(POLICIES[policy], subject, settings.read(wider)) == []
