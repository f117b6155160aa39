"""An update of a deployed stack replaces nothing that holds data: what identifies it is what it was."""

import copy
from dataclasses import replace

import pytest

from tests.identities import STACKS, identities, known
from tests.unit.program import recorded
from tests.unit.recorder import Recording


@pytest.mark.parametrize("name", STACKS)
def test_what_holds_data_keeps_its_identity(name: str) -> None:
    stack, config = STACKS[name]
    listed, found = known()[name], identities(recorded(stack, config))
    assert len(listed) > 15
    changed = {key for key in listed if found.get(key) != listed[key]}
    assert not changed, "an update of a deployed stack would replace these, and lose their data: keep name and fields"


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
