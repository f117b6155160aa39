"""Several environments in one cluster share no name, bucket, credential, cookie or Redis key."""

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from typing import Any

import pytest

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
APART = ("NEXTAUTH_COOKIE_NAME_SUFFIX", "LANGFUSE_INIT_ORG_ID", "LANGFUSE_INIT_PROJECT_ID")
"""Variables of web and of its first start whose values no two environments share."""


@pytest.fixture(scope="module")
def recordings() -> Mapping[str, Recording]:
    return {name: recorded(name, config) for name, config in STACKS.items()}


def objects(recording: Recording) -> Iterator[Registration]:
    yield from (item for item in recording if item.type.startswith("kubernetes:") and "metadata" in item.inputs)


def variables(recording: Recording, workload: str) -> Iterator[tuple[str, Any]]:
    item = recording.one("Job" if workload == "first-start" else "Deployment", f"langfuse-{workload}")
    for container in item.inputs["spec"]["template"]["spec"]["containers"]:
        yield from ((entry["name"], entry.get("value")) for entry in container["env"])


def apart(found: Mapping[str, set[Any]]) -> None:
    """Every environment has some, and no two have one in common."""
    assert all(found.values())
    for one, other in combinations(found, 2):
        assert not found[one] & found[other], f"{one} and {other} share {found[one] & found[other]}"


def test_no_object_has_the_namespace_and_name_of_another_environments(recordings: Mapping[str, Recording]) -> None:
    found: dict[str, set[Any]] = {}
    for name, recording in recordings.items():
        found[name] = set()
        for item in objects(recording):
            metadata = item.inputs["metadata"]
            if item.kind not in CLUSTER_WIDE:
                assert metadata["namespace"] == f"langfuse-{name}", item.name
            found[name].add((item.kind, metadata.get("namespace"), metadata.get("name", item.name)))
    apart(found)


def test_every_object_says_which_environment_it_is_of(recordings: Mapping[str, Recording]) -> None:
    label = "app.kubernetes.io/instance"
    for name, recording in recordings.items():
        labels = {item.inputs["metadata"].get("labels", {}).get(label) for item in objects(recording)}
        assert labels - {None} == {f"langfuse-{name}"}


def test_no_bucket_is_shared(recordings: Mapping[str, Recording]) -> None:
    apart(
        {
            name: {
                value for variable, value in variables(recording, "worker") if variable.endswith("_BUCKET") and value
            }
            for name, recording in recordings.items()
        }
    )


@pytest.mark.parametrize("variable", APART)
def test_no_cookie_and_no_first_organization_is_shared(recordings: Mapping[str, Recording], variable: str) -> None:
    apart(
        {
            name: {value for key, value in variables(recording, "first-start") if key == variable}
            for name, recording in recordings.items()
        }
    )


def test_no_public_host_is_shared(recordings: Mapping[str, Recording]) -> None:
    apart({name: set(item.one("VirtualService").inputs["spec"]["hosts"]) for name, item in recordings.items()})


def test_no_redis_key_of_one_environment_begins_like_those_of_another(recordings: Mapping[str, Recording]) -> None:
    """Should they share a Redis: pr-7 must not match keys of pr-70."""
    for workload in ("web", "worker"):
        prefixes = [dict(variables(recording, workload))["REDIS_KEY_PREFIX"] for recording in recordings.values()]
        assert not [(one, other) for one, other in permutations(prefixes, 2) if other.startswith(one)]
