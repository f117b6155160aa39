"""Several environments in one cluster share no name, bucket, credential, cookie or Redis key."""

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from typing import Any

import pytest

from tests.unit.pods import container, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording, Registration

STACKS: Mapping[str, Mapping[str, object]] = {
    "dev": {},
    "staging": {},
    "prod": {},
    "pr-7": {"profile": "preview"},
    "pr-70": {"profile": "preview"},
}
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "PriorityClass"}
SEPARATE = ("NEXTAUTH_COOKIE_NAME_SUFFIX", "LANGFUSE_INIT_ORG_ID", "LANGFUSE_INIT_PROJECT_ID")
"""Variables of web and of the first start whose values no two environments share."""


@pytest.fixture(scope="module")
def recordings() -> Mapping[str, Recording]:
    return {name: recorded(name, config) for name, config in STACKS.items()}


def objects(recording: Recording) -> Iterator[Registration]:
    yield from (item for item in recording if item.type.startswith("kubernetes:") and "metadata" in item.inputs)


def values(recording: Recording, workload: str) -> Mapping[str, Any]:
    """The variables of a workload."""
    kind = "Job" if workload == "first-start" else "Deployment"
    return variables(container(recording.one(kind, f"langfuse-{workload}")))


def assert_disjoint(found: Mapping[str, set[Any]]) -> None:
    """Every environment has values, and no two environments share one."""
    assert all(found.values())
    for one, other in combinations(found, 2):
        assert not found[one] & found[other], f"{one} and {other} share {found[one] & found[other]}"


def test_no_two_environments_share_an_object(recordings: Mapping[str, Recording]) -> None:
    found: dict[str, set[Any]] = {}
    for name, recording in recordings.items():
        found[name] = set()
        for item in objects(recording):
            metadata = item.inputs["metadata"]
            if item.kind not in CLUSTER_WIDE:
                assert metadata["namespace"] == f"langfuse-{name}", item.name
            found[name].add((item.kind, metadata.get("namespace"), metadata.get("name", item.name)))
    assert_disjoint(found)


def test_every_object_is_labelled_with_its_environment(recordings: Mapping[str, Recording]) -> None:
    label = "app.kubernetes.io/instance"
    for name, recording in recordings.items():
        labels = {item.inputs["metadata"].get("labels", {}).get(label) for item in objects(recording)}
        assert labels - {None} == {f"langfuse-{name}"}


def test_no_two_environments_share_a_bucket(recordings: Mapping[str, Recording]) -> None:
    assert_disjoint(
        {
            name: {value for key, value in values(recording, "worker").items() if key.endswith("_BUCKET") and value}
            for name, recording in recordings.items()
        }
    )


@pytest.mark.parametrize("variable", SEPARATE)
def test_no_two_environments_share_a_cookie_or_a_first_organization(
    recordings: Mapping[str, Recording], variable: str
) -> None:
    assert_disjoint(
        {
            name: {value for key, value in values(recording, "first-start").items() if key == variable}
            for name, recording in recordings.items()
        }
    )


def test_no_two_environments_share_a_public_host(recordings: Mapping[str, Recording]) -> None:
    assert_disjoint(
        {name: set(item.one("VirtualService").inputs["spec"]["hosts"]) for name, item in recordings.items()}
    )


def test_no_prefix_of_redis_keys_begins_with_another(recordings: Mapping[str, Recording]) -> None:
    """If they share a Redis, the pattern of pr-7 must not match the keys of pr-70."""
    for workload in ("web", "worker"):
        prefixes = [values(recording, workload)["REDIS_KEY_PREFIX"] for recording in recordings.values()]
        assert not [(one, other) for one, other in permutations(prefixes, 2) if other.startswith(one)]
