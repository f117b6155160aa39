from pathlib import Path
from typing import Any

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.waivers import place_of
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import UNKNOWN, resource, token_of

from tests.policies.engine import TODAY, Engine, said_by

POLICY = "no-privileged-container"


def pod(privileged: object = True, *, name: str = "test", stack: str = "prod") -> Resource:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10", "securityContext": {"privileged": privileged}}
    return resource("kubernetes:core/v1:Pod", {"spec": {"containers": [container]}}, name=name, stack=stack)


@pytest.fixture
def waivers(tmp_path: Path) -> Path:
    return tmp_path / "waivers.yaml"


def waive(
    path: Path, *, policy: str = POLICY, resource: str = "prod/core/Pod/test", expires: str = "2026-12-31"
) -> None:
    entry = [f"- policy: {policy}", f'  resource: "{resource}"', "  reason: Needed until the driver is replaced."]
    path.write_text("\n".join([*entry, "  owner: storage team", f"  expires: {expires}\n"]))


def test_a_finding_names_the_field_and_the_fix() -> None:
    (message,) = said_by(POLICY, Engine().judge(pod()))
    assert "spec.containers[main].securityContext.privileged" in message
    assert POLICIES[POLICY].fix in message


def test_each_policy_is_in_one_pack() -> None:
    names = {pack: {policy.name for policy in Engine(pack).policies} for pack in ("security", "reliability")}
    assert not names["security"] & names["reliability"]
    assert set(POLICIES) <= names["security"] | names["reliability"]


def test_an_unknown_field_is_reported_once_and_judged_when_it_is_known() -> None:
    found = Engine().judge(pod(UNKNOWN))
    assert not said_by(POLICY, found)
    (note,) = [one for one in said_by("security-not-checked", found) if ".privileged" in one]
    assert POLICY in note
    assert said_by(POLICY, Engine().judge(pod(True)))


def test_a_wholly_unknown_spec_is_reported_by_its_path() -> None:
    found = Engine().judge(resource("kubernetes:core/v1:Pod", {"spec": UNKNOWN}))
    assert any("spec is not known yet" in note and POLICY in note for note in said_by("security-not-checked", found))


def test_a_disabled_policy_is_silent() -> None:
    assert not said_by(POLICY, Engine(config={POLICY: {"enforcementLevel": "disabled"}}).judge(pod()))


@pytest.mark.parametrize(
    ("policy", "setting", "named"),
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
def test_a_wrong_setting_is_told_and_nothing_raises(policy: str, setting: dict[str, Any], named: str) -> None:
    engine = Engine(POLICIES[policy].pack, config={policy: setting})
    subjects = [resource(token_of(kind), {}) for kind in sorted(POLICIES[policy].kinds)[:1]]
    (message,) = said_by(policy, engine.judge(*subjects))
    assert f"{policy}: " in message
    assert named in message


class TestWaivers:
    def test_a_used_one_silences_its_finding_and_is_reported(self, waivers: Path) -> None:
        waive(waivers)
        found = Engine(waivers=waivers).judge(pod())
        assert not said_by(POLICY, found)
        (note,) = said_by("security-waived", found)
        assert "storage team" in note
        assert not said_by("security-waivers-used", found)

    def test_it_covers_what_its_pattern_names_and_nothing_else(self, waivers: Path) -> None:
        waive(waivers, resource="prod/core/Pod/driver-*")
        found = Engine(waivers=waivers).judge(pod(name="driver-1"), pod(name="other"))
        assert len(said_by(POLICY, found)) == 1

    def test_an_expired_one_is_a_violation_and_covers_nothing(self, waivers: Path) -> None:
        waive(waivers, expires="2026-11-20")
        found = Engine(waivers=waivers).judge(pod())
        assert said_by(POLICY, found)
        assert "2026-11-20" in said_by("security-waivers-hold", found)[0]

    def test_it_holds_on_its_last_day(self, waivers: Path) -> None:
        waive(waivers, expires=str(TODAY))
        found = Engine(waivers=waivers).judge(pod())
        assert not said_by(POLICY, found)
        assert not said_by("security-waivers-hold", found)

    def test_an_unused_one_is_a_violation(self, waivers: Path) -> None:
        waive(waivers)
        assert said_by("security-waivers-used", Engine(waivers=waivers).judge(pod(False)))

    @pytest.mark.parametrize("level", ["disabled"])
    def test_it_is_not_missed_where_its_policy_is_disabled(self, waivers: Path, level: str) -> None:
        waive(waivers)
        found = Engine(waivers=waivers, config={POLICY: {"enforcementLevel": level}}).judge(pod(False))
        assert not said_by("security-waivers-used", found)

    def test_it_is_not_missed_in_a_stack_that_it_does_not_name(self, waivers: Path) -> None:
        waive(waivers)
        assert not said_by("security-waivers-used", Engine(waivers=waivers).judge(pod(False, stack="dev")))

    @pytest.mark.parametrize(
        ("text", "line"),
        [("# one\n- policy: [", 2), (f"- policy: {POLICY}\n# two\n- reason: x\n", 3)],
        ids=["no YAML", "an entry that lacks keys"],
    )
    def test_an_error_names_the_line(self, waivers: Path, text: str, line: int) -> None:
        waivers.write_text(text)
        (said,) = said_by("security-waivers-hold", Engine(waivers=waivers).judge(pod()))
        assert f"waivers.yaml, line {line}: " in said

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("- {policy: no-such-policy, resource: a, reason: b, owner: c, expires: 2027-01-01}", "no-such-policy"),
            ("- {policy: no-privileged-container, resource: a, reason: b, owner: c}", "expires"),
            ("- {policy: no-privileged-container, resource: a, reason: b, owner: c, expires: soon}", "expires"),
            ("- {policy: no-privileged-container, resource: a, reason: '', owner: c, expires: 2027-01-01}", "reason"),
            ("- {policy: no-privileged-container, resource: a, reason: b, owner: c, expires: 2027-01-01, x: 1}", "x"),
            ("policy: no-privileged-container", "list"),
            ("[", "YAML"),
        ],
    )
    def test_a_malformed_one_is_an_error_and_nothing_is_waived(self, waivers: Path, text: str, named: str) -> None:
        waivers.write_text(text)
        found = Engine(waivers=waivers).judge(pod())
        assert named in said_by("security-waivers-hold", found)[0]
        assert said_by(POLICY, found)

    def test_a_place_is_stack_kind_and_name(self) -> None:
        assert place_of(pod(name="driver")) == "prod/core/Pod/driver"
