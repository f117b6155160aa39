"""Patches: what they set is judged; what they leave out is not missing."""

from collections.abc import Mapping

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import UNKNOWN, judged, judged_all, paths, resource, token_of, unknown_paths

from tests.policies.corpus import cases

KINDS = sorted({one.kind for case in cases() for one in case.resources if one.type.startswith("kubernetes:")})


def patch(kind: str, spec: Mapping[str, object]) -> Resource:
    metadata = {"name": "web", "namespace": "shop"}
    return resource(f"{token_of(kind)}Patch", {"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_that_sets_little_lacks_nothing(kind: str) -> None:
    containers = {"containers": [{"name": "web", "image": f"langfuse/langfuse:4.16.0@sha256:{64 * 'a'}"}]}
    template = {"template": {"spec": containers}}
    for spec in ({}, {"replicas": 3}, template, {"jobTemplate": {"spec": template}}, containers):
        assert judged_all([patch(kind, spec)]) == {}


def test_a_patch_of_a_store_lacks_neither_policies_nor_backups() -> None:
    container = {"name": "postgres", "image": f"postgres:17.10@sha256:{64 * 'a'}", "ports": [{"containerPort": 5432}]}
    assert judged_all([patch("apps/StatefulSet", {"template": {"spec": {"containers": [container]}}})]) == {}


@pytest.mark.parametrize(
    ("policy", "container", "path"),
    [
        ("no-privileged-container", {"securityContext": {"privileged": True}}, "securityContext.privileged"),
        ("read-only-root-filesystem", {"securityContext": {"readOnlyRootFilesystem": False}}, "readOnlyRootFilesystem"),
        ("image-by-digest", {"image": "docker.io/langfuse/langfuse:4.16.0"}, "image"),
        ("no-literal-secret-in-env", {"env": [{"name": "SALT", "value": "Hu7eTraPVeWq9"}]}, "value"),
    ],
)
def test_what_a_patch_sets_is_judged(policy: str, container: Mapping[str, object], path: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "web", **container}]}}}
    (found,) = paths(judged(POLICIES[policy], patch("apps/Deployment", spec)))
    assert found.endswith(path)


def test_what_a_patch_leaves_out_is_no_unknown_value_that_a_later_run_may_judge() -> None:
    policy = POLICIES["run-as-non-root"]
    assert (
        unknown_paths(policy, patch("apps/Deployment", {"template": {"spec": {"containers": [{"name": "web"}]}}}))
        == set()
    )
    assert unknown_paths(policy, patch("apps/Deployment", {"template": UNKNOWN})) == {"spec.template"}
