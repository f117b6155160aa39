"""An update of a deployed stack replaces nothing that holds data: what identifies it is what it was."""

import copy
import json
from dataclasses import replace

import pytest

from tests.identities import FILE, STACKS, identities
from tests.unit.program import recorded
from tests.unit.recorder import Recording


@pytest.mark.parametrize("name", STACKS)
def test_what_holds_data_keeps_its_identity(name: str) -> None:
    stack, config = STACKS[name]
    known, found = json.loads(FILE.read_text())[name], identities(recorded(stack, config))
    changed = {key for key in known if found.get(key) != known[key]}
    assert not changed, "an update of a deployed stack would replace these, and lose their data: keep name and fields"
    assert found == known, "new resources hold data: run `python -m tests.identities`"


def test_another_name_parent_or_fixed_field_is_another_identity() -> None:
    recording = Recording([replace(item, inputs=copy.deepcopy(item.inputs)) for item in recorded("dev")])
    before = identities(recording)
    assert len(before) > 20
    server = recording.one("StatefulSet", "langfuse-postgres")
    server.inputs["spec"]["serviceName"] = "other"
    recording.one("PersistentVolumeClaim", "langfuse-redis-data").inputs["metadata"]["name"] = "other"
    after = identities(recording)
    changed = {key.rpartition("::")[2] for key in before if after.get(key) != before[key]}
    assert changed == {"langfuse-postgres", "langfuse-redis-data"}
