"""`cluster.ignoreChanges`: fields that the cluster sets are left to it."""

import pulumi
import pytest

from tests.unit.configuration import only_problem
from tests.unit.program import recorded, run

TOLERATIONS = "spec.template.spec.tolerations"


def test_declared_fields_of_one_or_all_objects_are_ignored() -> None:
    entries = {
        "Deployment": [TOLERATIONS],
        "StatefulSet/langfuse-redis": ['metadata.annotations["policies.example.com/seen"]'],
    }
    recording = recorded("dev", {"cluster": {"ignoreChanges": entries}})
    for item in recording.of("Deployment"):
        assert TOLERATIONS in item.ignore_changes
    for item in recording.of("StatefulSet"):
        assert bool({'metadata.annotations["policies.example.com/seen"]'} & item.ignore_changes) == (
            item.name == "langfuse-redis"
        )
    assert "spec.volumeClaimTemplates" in recording.one("StatefulSet", "langfuse-clickhouse").ignore_changes


def test_an_entry_without_an_object_is_refused() -> None:
    entries = {"Deployment/langfuse-wep": [TOLERATIONS]}
    with pytest.raises(
        pulumi.RunError, match=r"cluster.ignoreChanges.Deployment/langfuse-wep: the stack has no such object"
    ):
        run("dev", {"cluster": {"ignoreChanges": entries}})


@pytest.mark.parametrize("field", ["spec", "data.password", "tolerations", "spec template", "stringData.key"])
def test_a_field_is_inside_of_metadata_or_spec(field: str) -> None:
    error = only_problem({"cluster": {"ignoreChanges": {"Secret": [field]}}})
    assert "is not the path of a field" in error
