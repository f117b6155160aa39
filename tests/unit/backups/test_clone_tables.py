"""What a clone does with each table of Langfuse: none is forgotten, and no decision is about a table that is gone."""

import json
from pathlib import Path

DECISIONS = json.loads(Path("components/backups/scripts/clone-tables.json").read_text())
SCHEMA = json.loads(Path("tests/drill/schema.json").read_text())["postgres"]
"""The tables and columns of Langfuse 4.16.0."""

NEWER = {"evaluation_rules", "evaluation_rule_evaluator_assignments", "evaluator_versions", "evaluators"}
"""Tables that Langfuse has added since: packages/shared/prisma/schema.prisma of commit 6275144614 (2026-08-22)."""


def test_every_table_is_decided_upon() -> None:
    assert SCHEMA.keys() | NEWER == DECISIONS.keys()


def test_a_decision_names_columns_that_there_are_and_a_reason() -> None:
    for table, decision in DECISIONS.items():
        assert decision.keys() <= {"delete", "set", "where", "keep"}, table
        kept = decision.get("keep", {})
        for text in (decision.get("delete", "-"), *([kept] if isinstance(kept, str) else kept.values())):
            assert text, f"{table}: give the reason"
        columns = {*decision.get("set", {}), *(kept if isinstance(kept, dict) else ())}
        if table not in NEWER:
            assert columns <= SCHEMA[table]["columns"].keys(), table
