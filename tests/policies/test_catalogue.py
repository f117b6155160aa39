"""Registration: a decorated function is a policy of its pack, and no second list names it."""

from __future__ import annotations

import pytest
from langfuse_policies.catalogue import POLICIES, TOPICS
from langfuse_policies.engine.policy import Findings, Severity, Topic, by_id
from langfuse_policies.facts.resources import Resource


def topic(name: str) -> Topic:
    made = Topic(name, title=name, pack="security")

    @made.resources("same", title="Same", why="Because.", fix="Remove it.", severity=Severity.LOW)
    def same(_resource: Resource) -> Findings:
        yield from ()

    return made


def test_two_policies_of_one_id_are_an_error() -> None:
    with pytest.raises(ValueError, match="same: in first and second"):
        by_id([topic("first"), topic("second")])


def test_topics_have_names_and_titles_of_their_own() -> None:
    assert len({topic.name for topic in TOPICS}) == len({topic.title for topic in TOPICS}) == len(TOPICS)


def test_no_policy_is_called_all() -> None:
    assert "all" not in POLICIES  # Pulumi's word for every policy of a pack
