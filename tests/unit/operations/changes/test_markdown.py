from __future__ import annotations

from decimal import Decimal

import pytest
import yaml

from components.schema.requests import Requests
from operations.changes.events import holds_data
from operations.changes.guard import Acknowledgement, judge
from operations.changes.markdown import COMMENT_CHARACTERS, markdown
from operations.changes.model import Action, Capacity, Change, Finding, Report, Verdict
from tests.unit.operations.changes.engine_events import CLAIM, DEPLOYMENT, JOB, urn

NOTHING = Capacity(before=Requests(), after=Requests())


def change(action: Action, kind: str, name: str, *because: str) -> Change:
    return Change(urn=urn(kind, name), action=action, because=because, holds_data=holds_data(kind, {}))


def report(**values: object) -> Report:
    return Report.model_validate({"stack": "dev", "outcome": "fine", "capacity": NOTHING, **values})


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without the headers."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [
        row
        for index, row in enumerate(cells)
        if "---" not in row[0] and cells[index + 1 : index + 2] != [["---"] * len(row)]
    ]


def test_the_worst_comes_first_and_says_what_forces_it() -> None:
    changes = [
        change("update", DEPLOYMENT, "web", "spec.replicas"),
        change("create", JOB, "job"),
        change("delete", DEPLOYMENT, "old"),
        change("replace", CLAIM, "data", "spec.storageClassName"),
    ]
    assert rows(markdown([report(changes=changes)])) == [
        ["**replace**", "PersistentVolumeClaim `data`", "`spec.storageClassName`"],
        ["**delete**", "Deployment `old`", ""],
        ["create", "Job `job`", ""],
        ["update", "Deployment `web`", "`spec.replicas`"],
    ]


def test_what_goes_with_a_claim_says_so() -> None:
    server = Change(urn=urn("kubernetes:apps/v1:StatefulSet", "db"), action="replace", follows=urn(CLAIM, "data"))
    assert rows(markdown([report(changes=[server])])) == [
        ["**replace**", "StatefulSet `db`", "follows the claim `data`"]
    ]


def test_new_objects_of_a_kind_are_one_row() -> None:
    changes = [change("create", JOB, f"job{number}") for number in range(12)]
    ((_, resource, _),) = rows(markdown([report(changes=changes)]))
    assert resource.startswith("Job (12) `job0`")
    assert resource.endswith("and 4 more")


def test_a_change_of_many_properties_stays_one_short_line() -> None:
    paths = [f"spec.template.spec.containers[{number}].image" for number in range(40)]
    ((_, _, property_),) = rows(markdown([report(changes=[change("update", DEPLOYMENT, "web", *paths)])]))
    assert property_.endswith("and 37 more")


def test_the_entry_that_acknowledges_a_loss_is_ready_to_paste() -> None:
    loss = change("replace", CLAIM, "data")
    text = markdown([report(changes=[loss], outcome="refused", guard=judge("dev", [loss], []))])
    (entry,) = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    known = Acknowledgement.model_validate({**entry, "reason": "meant"})
    assert judge("dev", [loss], [known]).refused == ()


def test_an_acknowledgement_that_nothing_needs_is_told() -> None:
    verdict = Verdict(unused=("delete of a::b",))
    assert "delete of a::b" in markdown([report(outcome="refused", guard=verdict)])


def test_a_change_in_requests_is_told_with_its_difference() -> None:
    capacity = Capacity(
        before=Requests(cpu=Decimal("1.5"), memory=Decimal(1024**3), storage=Decimal(10 * 1024**3)),
        after=Requests(cpu=Decimal("1.5"), memory=Decimal(1024**3 * 2), storage=Decimal(5 * 1024**3)),
    )
    text = markdown([report(changes=[change("update", DEPLOYMENT, "web")], capacity=capacity)])
    assert "CPU 1.5 cores" in text
    assert "memory 1 → **2 GiB** (+1)" in text
    assert "storage 10 → **5 GiB** (-5)" in text


def test_a_finding_names_rule_severity_resource_and_remedy() -> None:
    found = Finding(
        policy="no-root", level="mandatory", severity="high", urn=urn(JOB, "job"), message="Set runAsNonRoot"
    )
    text = markdown([report(outcome="refused", findings=[found])])
    assert rows(text) == [["`no-root`", "high", "Job `job`", "Set runAsNonRoot"]]
    assert "<details>" not in text


def test_advice_is_folded_away() -> None:
    found = Finding(policy="hint", level="advisory", message="better so")
    before, _, inside = markdown([report(findings=[found])]).partition("<details>")
    assert "better so" not in before
    assert "better so" in inside


def test_advice_of_one_policy_is_one_row_and_the_most_severe_comes_first() -> None:
    findings = [
        Finding(policy="hint", level="advisory", severity="low", message="better so"),
        *(
            Finding(policy="tls", level="advisory", severity="high", urn=urn(JOB, f"job{n}"), message="encrypt")
            for n in range(30)
        ),
    ]
    found = rows(markdown([report(findings=findings)]))
    assert [row[:2] for row in found] == [["`tls`", "high"], ["`hint`", "low"]]
    assert found[0][2].endswith("and 27 more")


def test_nothing_to_do_is_one_line() -> None:
    assert len(markdown([report(unchanged=100)]).split("\n\n")) == 2


@pytest.mark.parametrize(
    "text", ["a|b", "<script>x</script>", "@somebody", "`x`", "[link](http://x)", "a\nb\n\n# c", "**x**"]
)
def test_text_of_others_stays_text(text: str) -> None:
    found = Finding(policy="p|q", level="mandatory", urn=urn(JOB, "job|`b`"), message=text)
    shown = markdown([report(outcome="refused", findings=[found], problems=[text])])
    assert all(line.replace("\\|", "").count("|") in {0, 5} for line in shown.splitlines())
    for dangerous in ("<script>", "@somebody", "[link](", "\n# c", "**x**"):
        assert dangerous not in shown


@pytest.mark.parametrize("number", [100, 3_000])
def test_a_large_report_fits_into_a_comment_and_says_what_it_leaves_out(number: int) -> None:
    long = "x" * 500
    changes = [change("update", DEPLOYMENT, f"web{n}", long, long) for n in range(number)]
    losses = [change("delete", CLAIM, f"data{n}-{long}") for n in range(number)]
    findings = [Finding(policy="rule", level="mandatory", urn=urn(JOB, "job"), message=long * 3) for _ in range(number)]
    one = report(
        outcome="failed",
        changes=[*changes, *losses],
        findings=findings,
        guard=Verdict(refused=tuple(losses)),
        problems=[f"{n} {long}" for n in range(number)],
    )

    text = markdown([one, one, one], note="<!-- the end -->")

    assert len(text) < COMMENT_CHARACTERS
    assert text.endswith("<!-- the end -->\n")
    assert text.count("**refused: loses data**") == 3
    assert f"of {2 * number} rows" in text
    assert f"of {number} findings" in text


def test_a_small_report_leaves_nothing_out() -> None:
    changes = [change("update", DEPLOYMENT, f"web{number}", "spec.replicas") for number in range(100)]
    text = markdown([report(changes=changes)])
    assert "Left out" not in text
    assert all(f"`web{number}`" in text for number in range(100))


def test_drift_is_told_in_words_of_what_was_found() -> None:
    changes = [change("delete", JOB, "gone"), change("update", DEPLOYMENT, "web", "spec.replicas")]
    assert rows(markdown([report(of="drift", outcome="refused", changes=changes)])) == [
        ["deleted", "Job `gone`", ""],
        ["changed", "Deployment `web`", "`spec.replicas`"],
    ]


def test_what_is_deployed_is_told_apart_from_a_change() -> None:
    assert markdown([report(of="state", changes=())]).splitlines() == [
        "## What the policies find in what is deployed",
        "",
        "### `dev`: no violations",
    ]
