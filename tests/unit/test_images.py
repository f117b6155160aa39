"""Where the images of every pod come from: one mirror, pull secrets, other builds, and digests."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from components.schema.image_settings import NAMES
from components.settings.load import SettingsError, parse
from components.stores.images import all_images, original_images, running_images
from tests.engine.matrix import config as matrix_config
from tests.engine.matrix import few_rows
from tests.golden import EXAMPLE
from tests.unit.configuration import HOST, only_problem, refusal, settings
from tests.unit.network.test_reachability import SIGN_IN_PROXY
from tests.unit.pods import containers, pod_spec, workloads
from tests.unit.program import recorded
from tests.unit.recorder import Recording

MIRROR = "registry.example.com/mirror"
OFF_SITE = {"offSite": {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}}
ROWS: Mapping[str, Mapping[str, Any]] = {
    **{"-".join(row): {**matrix_config(row), "backups": OFF_SITE} for row in few_rows(1)},
    "a sign-in in front": {"profile": "dev", **SIGN_IN_PROXY},
    "monitored": {"profile": "dev", "monitoring": {}},
}
DIGEST = f"sha256:{'a' * 64}"
CLOUDNATIVE_PG = {"postgres": {"mode": "cloudnativepg"}}


def references(found: Recording) -> Iterator[str]:
    for item in workloads(found):
        yield from (one["image"] for one in containers(item))
    for item in found.of("Cluster"):
        yield item.inputs["spec"]["imageName"]


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS)
def test_the_images_of_an_environment_are_those_of_its_pods(config: Mapping[str, Any]) -> None:
    found = parse("matrix", {"host": HOST, **config})
    assert set(references(recorded("matrix", config))) == set(running_images(found).values())


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS)
def test_every_image_comes_through_the_mirror_with_its_pull_secrets(config: Mapping[str, Any]) -> None:
    given = {**config, "images": {"registry": MIRROR, "pullSecrets": ["mirror", "builds"]}}
    found = recorded("matrix", given)
    original = set(references(recorded("matrix", config)))
    assert set(references(found)) == {f"{MIRROR}/{name.partition('/')[2]}" for name in original}
    expected = [{"name": "mirror"}, {"name": "builds"}]
    assert [item.name for item in workloads(found) if pod_spec(item)["imagePullSecrets"] != expected] == []
    assert [item for item in found.of("Cluster") if item.inputs["spec"]["imagePullSecrets"] != expected] == []


def test_each_original_registry_can_have_a_mirror_of_its_own() -> None:
    """A pull-through cache has a path for each registry, and Artifactory and Harbor a repository."""
    mirrors = {
        "docker.io": "cache.example.com/docker-hub",
        "ghcr.io": "ghcr.example.com",
        "quay.io": "cache.example.com/q",
    }
    config = {"postgres": {"mode": "cloudnativepg"}, "images": {"registries": mirrors}}
    original = set(references(recorded("dev", {"postgres": {"mode": "cloudnativepg"}})))
    expected = {f"{mirrors[name.partition('/')[0]]}/{name.partition('/')[2]}" for name in original}
    assert set(references(recorded("dev", config))) == expected
    others = {"registry": MIRROR, "registries": {"quay.io": "cache.example.com/q"}}
    found = settings({"images": others}).images
    assert found.named("quay.io/minio/mc:1") == "cache.example.com/q/minio/mc:1"
    assert found.named("docker.io/library/postgres:17.10") == f"{MIRROR}/library/postgres:17.10"
    mistake = only_problem({"images": {"registries": {"dockerhub": MIRROR}}})
    assert "images.registries.dockerhub: is not the registry of any image; use docker.io, ghcr.io, quay.io" in mistake


def test_the_image_of_an_upgrade_of_postgres_is_locked_too() -> None:
    config = {"postgres": {"mode": "managed", "version": "17.10", "upgradeTo": "18.4"}}
    chosen = settings(config)
    assert set(references(recorded("dev", config))) == set(all_images(chosen))
    lock = {chosen.images.named(name): DIGEST for name in all_images(chosen)}
    found = recorded("dev", {**config, "images": {"digests": lock}})
    assert {name for name in references(found) if DIGEST not in name} == set()
    with pytest.raises(SettingsError, match=r"postgres:18\.4 has no digest"):
        parse("dev", {"host": HOST, **config}, lock=locked({}))


def test_every_image_of_the_program_runs_in_a_row() -> None:
    """An image that is in no row would escape these tests, the outputs, the lock and the keys for builds."""
    ran = {name.rpartition(":")[0] for row in ROWS.values() for name in references(recorded("matrix", row))}
    assert ran == set(NAMES)


def test_another_build_follows_the_release() -> None:
    """A patched tag once stayed behind in web, while the outputs claimed the new release."""
    build = {"repository": "registry.example.com/ubi/langfuse", "suffix": "-ubi9"}
    for version in ("4.82.0", "4.83.1"):
        config = {"version": version, "images": {"registry": MIRROR, "builds": {"web": build}}}
        found = recorded("dev", config)
        own = [one["image"] for item in workloads(found) for one in containers(item) if "/ubi/" in one["image"]]
        assert len(own) >= 4, "web, the first start, and both containers of the migration"
        assert set(own) == {f"registry.example.com/ubi/langfuse:{version}-ubi9"}
        assert running_images(settings(config))["web"] == own[0]


def test_every_image_can_have_another_build() -> None:
    names = {key for row in ROWS.values() for key in original_images(parse("matrix", {"host": HOST, **row}))}
    builds = {name: {"repository": f"registry.example.com/fips/{name.lower()}", "suffix": ".fips"} for name in names}
    for row in ROWS.values():
        found = set(references(recorded("matrix", {**row, "images": {"builds": builds}})))
        assert all(one.startswith("registry.example.com/fips/") and one.endswith(".fips") for one in found), found
    assert names == set(yaml.safe_load(EXAMPLE.read_text())["config"]["langfuse:images"]["builds"])


def locked(config: Mapping[str, Any]) -> dict[str, str]:
    chosen = settings(config)
    return {chosen.images.named(name): DIGEST for name in original_images(chosen).values()}


def test_locked_images_run_by_their_digest() -> None:
    for config in ({}, CLOUDNATIVE_PG, {"images": {"registry": MIRROR}}):
        lock = locked(config)
        images = {**config.get("images", {}), "digests": lock}
        found = set(references(recorded("dev", {**config, "images": images})))
        assert found == {f"{name}@{DIGEST}" for name in lock}
        chosen = parse("dev", {"host": HOST, **config}, lock={**lock, "docker.io/other/stack:1.0": DIGEST})
        assert set(running_images(chosen).values()) == found


def test_a_new_release_of_a_locked_stack_has_to_be_locked_too() -> None:
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": HOST, "version": "4.83.1"}, lock=locked({}))
    assert "docker.io/langfuse/langfuse:4.83.1" in str(raised.value)
    assert "run `python -m operations images lock --stack dev`" in str(raised.value)


def test_a_digest_of_an_image_that_does_not_run_is_refused() -> None:
    digests = {**locked({}), "docker.io/langfuse/langfuse:4.1.0": DIGEST}
    assert "docker.io/langfuse/langfuse:4.1.0: is not an image of this stack" in only_problem(
        {"images": {"digests": digests}}
    )


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ({"registry": "https://registry.example.com"}, "is not a registry"),
        ({"registry": "registry.example.com/"}, "is not a registry"),
        ({"registry": "Registry.example.com"}, "is not a registry"),
        ({"builds": {"web": {"repository": "langfuse/langfuse"}}}, "is not a repository with its registry"),
        ({"builds": {"web": {"repository": "r.example.com/langfuse:4.82.0"}}}, "is not a repository with its registry"),
        ({"builds": {"web": {"suffix": "4.82.0"}}}, "is not the end of a tag"),
        ({"builds": {"web": {"tag": "4.82.0"}}}, "is not a known key"),
        ({"digests": {"a/b:1": "sha256:1"}}, "is not a digest"),
        ({"pullSecrets": "mirror"}, "must be a list"),
    ],
)
def test_an_image_that_cannot_be_named_is_refused(images: Mapping[str, object], problem: str) -> None:
    assert problem in refusal({"images": images})


def test_outputs_name_what_runs() -> None:
    found = recorded("dev", {"images": {"registry": MIRROR}})
    assert running_images(settings({"images": {"registry": MIRROR}}))["worker"] in set(references(found))
