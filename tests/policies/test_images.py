"""Images and versions: how references are read, and what the settings change."""

import datetime

import pytest
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.image_references import IMAGE_KINDS, ImageReference
from langfuse_policies.facts.resources import Resource
from langfuse_policies.facts.workloads import POD_TEMPLATES
from langfuse_policies.rules.kubernetes.images import Abandoned, Registries
from langfuse_policies.rules.langfuse.versions import Floor, Matrix, Support
from langfuse_policies.testing import judged, paths, resource, token_of


def _deployment(image: str, *, name: str = "web", port: int = 3000) -> Resource:
    container = {"name": name, "image": image, "ports": [{"containerPort": port}]}
    template = {"spec": {"containers": [container]}}
    return resource("kubernetes:apps/v1:Deployment", {"metadata": {"name": name}, "spec": {"template": template}})


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io/library/nginx", "", ""),
        ("langfuse/langfuse:4", "docker.io/langfuse/langfuse", "4", ""),
        ("index.docker.io/library/nginx:1.29", "docker.io/library/nginx", "1.29", ""),
        ("localhost:5000/a/b", "localhost:5000/a/b", "", ""),
        ("registry.example.com:443/a/b:1@sha256:c", "registry.example.com:443/a/b", "1", "sha256:c"),
    ],
)
def test_references_are_read_as_container_runtimes_read_them(text: str, repository: str, tag: str, digest: str) -> None:
    assert ImageReference.of(text) == ImageReference(repository, tag, digest)


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("17.10-alpine", (17, 10)),
        ("v4.16.0", (4, 16, 0)),
        ("2.17.2-pg16", (16,)),
        ("latest", ()),
        ("RELEASE.2025-09-07T16-13-09Z", ()),
        ("3b1f7a9d", ()),
    ],
)
def test_versions_are_read_from_tags(tag: str, version: tuple[int, ...]) -> None:
    assert ImageReference("", tag, "").version == version


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_images_are_found_in_every_kind_that_names_them(kind: str) -> None:
    spec: dict[str, object] = {"spec": {"containers": [{"image": "evil.example/a:1.2.3"}]}}
    for key in reversed(POD_TEMPLATES[kind].split(".") if POD_TEMPLATES.get(kind) else []):
        spec = {key: spec}
    if kind not in POD_TEMPLATES:
        spec = {"spec": {"imageName": "evil.example/a:1.2.3"}}
    subject = resource(token_of(kind), spec)
    assert len(judged(POLICIES["allowed-registries"], subject)) == 1


def test_an_image_volume_is_an_image() -> None:
    pod = {
        "spec": {"volumes": [{"name": "data", "image": {"reference": "evil.example/data:1", "pullPolicy": "Never"}}]}
    }
    subject = resource("kubernetes:core/v1:Pod", pod)
    assert paths(judged(POLICIES["allowed-registries"], subject)) == ["spec.volumes[data].image.reference"]
    assert paths(judged(POLICIES["image-can-be-pulled"], subject)) == ["spec.volumes[data].image.pullPolicy"]


def test_registries_are_a_setting() -> None:
    ours, theirs = _deployment("mirror.example.com/hub/web:1.2.3"), _deployment("docker.io/langfuse/langfuse:4.16.0")
    settings = Registries(registries=("mirror.example.com/hub",))
    assert not judged(POLICIES["allowed-registries"], ours, settings)
    assert judged(POLICIES["allowed-registries"], theirs, settings)


def test_what_is_abandoned_is_a_setting() -> None:
    settings = Abandoned(repositories=("quay.io/old",))
    assert judged(POLICIES["no-abandoned-image"], _deployment("quay.io/old/web:1.2.3"), settings)
    assert not judged(POLICIES["no-abandoned-image"], _deployment("bitnami/nginx:1.2.3"), settings)


def test_the_oldest_langfuse_is_a_setting() -> None:
    subject = _deployment("langfuse/langfuse:4.10.0")
    assert not judged(POLICIES["langfuse-version-floor"], subject)
    assert judged(POLICIES["langfuse-version-floor"], subject, Floor(minimum="4.16.0"))


@pytest.mark.parametrize(
    ("image", "day", "supported"),
    [
        ("langfuse/langfuse:3.225.4", datetime.date(2027, 1, 31), True),
        ("langfuse/langfuse:3.225.4", datetime.date(2027, 2, 1), False),
        ("langfuse/langfuse:3", datetime.date(2027, 2, 1), False),
        ("langfuse/langfuse:4.16.0", datetime.date(2040, 1, 1), True),
        ("langfuse/langfuse:latest", datetime.date(2040, 1, 1), True),
    ],
)
def test_support_ends_after_its_last_day(image: str, day: datetime.date, supported: bool) -> None:
    found = judged(POLICIES["langfuse-supported"], _deployment(image), Support(on=day))
    assert (not found) is supported


def test_the_last_days_of_support_are_a_setting() -> None:
    settings = Support(last_days={4: datetime.date(2028, 1, 1)}, on=datetime.date(2029, 1, 1))
    assert judged(POLICIES["langfuse-supported"], _deployment("langfuse/langfuse:4.16.0"), settings)


@pytest.mark.parametrize(("langfuse", "fits"), [("3.225.4", True), ("4.16.0", False)])
def test_stores_are_measured_by_the_version_of_langfuse(langfuse: str, *, fits: bool) -> None:
    stack = [
        _deployment(f"langfuse/langfuse:{langfuse}"),
        _deployment("clickhouse/clickhouse-server:25.3.1.1", name="clickhouse", port=8123),
    ]
    assert (not judged(POLICIES["store-versions-in-matrix"], stack)) is fits


def test_the_matrix_is_a_setting() -> None:
    stack = [_deployment("langfuse/langfuse:4.16.0"), _deployment("postgres:16.1", name="postgres", port=5432)]
    assert not judged(POLICIES["store-versions-in-matrix"], stack)
    assert judged(POLICIES["store-versions-in-matrix"], stack, Matrix(postgres={4: "16.2"}))


def test_stores_without_langfuse_have_no_matrix() -> None:
    assert not judged(POLICIES["store-versions-in-matrix"], [_deployment("postgres:9.6", name="postgres", port=5432)])
