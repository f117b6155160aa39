from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from langfuse_policies.catalogue import RULES
from langfuse_policies.engine.waivers import place_of
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import UNKNOWN, resource, token_of

from tests.policies.engine import TODAY, Engine, said_by

RULE = "no-privileged-container"


def pod(privileged: object = True, *, name: str = "test", stack: str = "prod") -> Resource:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10", "securityContext": {"privileged": privileged}}
    return resource("kubernetes:core/v1:Pod", {"spec": {"containers": [container]}}, name=name, stack=stack)


@pytest.fixture
def waivers(tmp_path: Path) -> Path:
    return tmp_path / "waivers.yaml"


def waive(path: Path, *, rule: str = RULE, resource: str = "prod/core/Pod/test", expires: str = "2026-12-31") -> None:
    entry = [f"- rule: {rule}", f'  resource: "{resource}"', "  reason: Needed until the driver is replaced."]
    path.write_text("\n".join([*entry, "  owner: storage team", f"  expires: {expires}\n"]))


def test_a_finding_names_the_field_and_the_fix() -> None:
    (message,) = said_by(RULE, Engine().judge(pod()))
    assert "spec.containers[main].securityContext.privileged" in message
    assert RULES[RULE].fix in message


def test_each_rule_is_in_one_pack() -> None:
    names = {
        pack: {policy.name for policy in Engine(pack).analyzer.GetAnalyzerInfo(Empty()).policies}
        for pack in ("security", "reliability")
    }
    assert not names["security"] & names["reliability"]
    assert set(RULES) <= names["security"] | names["reliability"]


def test_an_unknown_field_is_reported_once_and_judged_when_it_is_known() -> None:
    found = Engine().judge(pod(UNKNOWN))
    assert not said_by(RULE, found)
    (note,) = [one for one in said_by("security-not-checked", found) if ".privileged" in one]
    assert RULE in note
    assert said_by(RULE, Engine().judge(pod(True)))


def test_a_wholly_unknown_spec_is_reported_by_its_path() -> None:
    found = Engine().judge(resource("kubernetes:core/v1:Pod", {"spec": UNKNOWN}))
    assert any("spec is not known yet" in note and RULE in note for note in said_by("security-not-checked", found))


def test_a_disabled_rule_is_silent() -> None:
    assert not said_by(RULE, Engine(config={RULE: {"enforcementLevel": "disabled"}}).judge(pod()))


@pytest.mark.parametrize(
    ("rule", "setting", "named"),
    [
        ("session-length", {"noSuchSetting": 3}, "noSuchSetting"),
        ("session-length", {"minutes": 5}, "minutes"),
        ("session-length", {"minutes": 7.5}, "minutes"),
        ("session-length", {"minutes": "a week"}, "minutes"),
        ("langfuse-supported", {"last_days": {"3": "soon"}}, "last_days"),
        ("store-versions-in-matrix", {"postgres": {"3": "twelve"}}, "postgres"),
        ("no-egress-to-metadata", {"addresses": ["metadata.google.internal"]}, "metadata.google.internal"),
    ],
)
def test_a_wrong_setting_is_told_and_nothing_raises(rule: str, setting: dict[str, Any], named: str) -> None:
    engine = Engine(RULES[rule].pack, config={rule: setting})
    subjects = [resource(token_of(kind), {}) for kind in sorted(RULES[rule].kinds)[:1]]
    (message,) = said_by(rule, engine.judge(*subjects))
    assert f"{rule}: " in message
    assert named in message


class TestWaivers:
    def test_a_used_one_silences_its_finding_and_is_reported(self, waivers: Path) -> None:
        waive(waivers)
        found = Engine(waivers=waivers).judge(pod())
        assert not said_by(RULE, found)
        (note,) = said_by("security-waived", found)
        assert "storage team" in note
        assert not said_by("security-waivers-used", found)

    def test_it_covers_what_its_pattern_names_and_nothing_else(self, waivers: Path) -> None:
        waive(waivers, resource="prod/core/Pod/driver-*")
        found = Engine(waivers=waivers).judge(pod(name="driver-1"), pod(name="other"))
        assert len(said_by(RULE, found)) == 1

    def test_an_expired_one_is_a_violation_and_covers_nothing(self, waivers: Path) -> None:
        waive(waivers, expires="2026-11-20")
        found = Engine(waivers=waivers).judge(pod())
        assert said_by(RULE, found)
        assert "2026-11-20" in said_by("security-waivers-hold", found)[0]

    def test_it_holds_on_its_last_day(self, waivers: Path) -> None:
        waive(waivers, expires=str(TODAY))
        found = Engine(waivers=waivers).judge(pod())
        assert not said_by(RULE, found)
        assert not said_by("security-waivers-hold", found)

    def test_an_unused_one_is_a_violation(self, waivers: Path) -> None:
        waive(waivers)
        assert said_by("security-waivers-used", Engine(waivers=waivers).judge(pod(False)))

    @pytest.mark.parametrize("level", ["disabled"])
    def test_it_is_not_missed_where_its_rule_is_disabled(self, waivers: Path, level: str) -> None:
        waive(waivers)
        found = Engine(waivers=waivers, config={RULE: {"enforcementLevel": level}}).judge(pod(False))
        assert not said_by("security-waivers-used", found)

    def test_it_is_not_missed_in_a_stack_that_it_does_not_name(self, waivers: Path) -> None:
        waive(waivers)
        assert not said_by("security-waivers-used", Engine(waivers=waivers).judge(pod(False, stack="dev")))

    @pytest.mark.parametrize(
        ("text", "line"),
        [("# one\n- rule: [", 2), (f"- rule: {RULE}\n# two\n- reason: x\n", 3)],
        ids=["no YAML", "an entry that lacks keys"],
    )
    def test_an_error_names_the_line(self, waivers: Path, text: str, line: int) -> None:
        waivers.write_text(text)
        (said,) = said_by("security-waivers-hold", Engine(waivers=waivers).judge(pod()))
        assert f"waivers.yaml, line {line}: " in said

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("- {rule: no-such-rule, resource: a, reason: b, owner: c, expires: 2027-01-01}", "no-such-rule"),
            ("- {rule: no-privileged-container, resource: a, reason: b, owner: c}", "expires"),
            ("- {rule: no-privileged-container, resource: a, reason: b, owner: c, expires: soon}", "expires"),
            ("- {rule: no-privileged-container, resource: a, reason: '', owner: c, expires: 2027-01-01}", "reason"),
            ("- {rule: no-privileged-container, resource: a, reason: b, owner: c, expires: 2027-01-01, x: 1}", "x"),
            ("rule: no-privileged-container", "list"),
            ("[", "YAML"),
        ],
    )
    def test_a_malformed_one_is_an_error_and_nothing_is_waived(self, waivers: Path, text: str, named: str) -> None:
        waivers.write_text(text)
        found = Engine(waivers=waivers).judge(pod())
        assert named in said_by("security-waivers-hold", found)[0]
        assert said_by(RULE, found)

    def test_a_place_is_stack_kind_and_name(self) -> None:
        assert place_of(pod(name="driver")) == "prod/core/Pod/driver"
