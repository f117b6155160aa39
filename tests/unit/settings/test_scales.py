from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest
from pydantic import JsonValue

from components.schema.environment import Settings
from components.schema.values import quantity_value
from components.settings.load import parse
from components.settings.profiles import PROFILES
from components.settings.scales import LOADS, SCALES
from operations.needs import needs


def environment(profile: str, scale: str, **config: object) -> Settings:
    return parse("example", {"host": "langfuse.example.com", "profile": profile, "scale": scale, **config})


def numbers(tree: JsonValue, path: str = "") -> Iterator[tuple[str, Decimal]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from numbers(value, f"{path}.{name}")
    else:
        yield path, quantity_value(str(tree))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_scale_is_valid_in_every_profile(profile: str, scale: str) -> None:
    settings = environment(profile, scale)
    assert (settings.profile, settings.scale) == (profile, scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_scale_suffices_for_its_documented_load(profile: str, scale: str) -> None:
    short = [need for need in needs(LOADS[scale], environment(profile, scale)) if not need.fits]
    assert not short


def test_every_scale_documents_its_load() -> None:
    assert list(LOADS) == list(SCALES) == list(Settings.model_fields["scale"].annotation.__args__)  # type: ignore[union-attr]  # a Literal


@pytest.mark.parametrize(("smaller", "larger"), list(pairwise(SCALES)))
def test_a_larger_scale_reduces_nothing_and_increases_something(smaller: str, larger: str) -> None:
    less, more = dict(numbers(SCALES[smaller])), dict(numbers(SCALES[larger]))
    assert less.keys() == more.keys()
    assert not {key for key in less if more[key] < less[key]}
    assert {key for key in less if more[key] > less[key]}
    assert LOADS[smaller].events_per_second < LOADS[larger].events_per_second
    assert LOADS[smaller].retained_days <= LOADS[larger].retained_days


@pytest.mark.parametrize("scale", SCALES)
def test_no_limit_is_below_its_request(scale: str) -> None:
    table = dict(numbers(SCALES[scale]))
    for key, value in table.items():
        if key.endswith(".cpu"):
            assert value <= table[f"{key}Limit"]


def test_medium_meets_the_documented_minimum_for_production() -> None:
    """langfuse.com/self-hosting/configuration/scaling, "Minimum Infrastructure Requirements"."""
    dumped = environment("prod", "medium").model_dump()
    found = {
        name: (dumped[name]["resources"]["cpu"], dumped[name]["resources"]["memory"])
        for name in ("web", "worker", "postgres", "redis", "clickhouse", "objectStore")
    }
    assert found == {
        "web": ("2", "4Gi"),
        "worker": ("2", "4Gi"),
        "postgres": ("2", "4Gi"),
        "redis": ("1", "1536Mi"),
        "clickhouse": ("2", "8Gi"),
        "objectStore": ("2", "4Gi"),
    }


def test_larger_scales_follow_the_documentation_for_clickhouse() -> None:
    for scale in ("large", "xlarge"):
        store = environment("prod", scale).clickhouse
        assert store.mode == "managed"
        assert quantity_value(store.resources.memory) >= 16 * 1024**3


def test_a_profile_or_a_stack_file_chooses_the_scale() -> None:
    assert parse("prod", {"host": "a.example"}).scale == "medium"
    assert parse("dev", {"host": "a.example"}).scale == "small"
    assert environment("dev", "large").worker.replicas == SCALES["large"]["worker"]["replicas"]  # type: ignore[call-overload, index]  # JSON


def test_an_explicit_value_overrides_only_that_value_of_the_scale() -> None:
    plain = environment("prod", "large")
    changed = environment("prod", "large", clickhouse={"storage": "5Ti"}, worker={"concurrency": 7})
    assert changed.clickhouse.mode == plain.clickhouse.mode == "managed"
    assert changed.clickhouse.storage == "5Ti"
    assert changed.clickhouse.resources == plain.clickhouse.resources
    assert changed.worker.concurrency == 7
    assert changed.worker.replicas == plain.worker.replicas
    assert changed.web == plain.web
