from pathlib import Path

import pytest

from components.settings import Settings
from docs.configuration import render
from docs.picture import Resource, draw, replace

README = Path(__file__).parents[2] / "README.md"
REFERENCE = README.parent / "docs" / "configuration.md"


def test_the_configuration_reference_is_current() -> None:
    assert REFERENCE.read_text() == render(), "run `make docs`"


def test_the_configuration_reference_names_every_key() -> None:
    text = REFERENCE.read_text()
    for name, field in Settings.model_fields.items():
        if not field.exclude:
            alias = field.alias or name
            assert f"`{alias}`" in text or f"`langfuse:{alias}`" in text


def resource(kind: str, name: str, parent: str = "", *dependencies: str) -> Resource:
    return {
        "urn": f"urn:pulumi:dev::langfuse::{kind}::{name}",
        "type": kind,
        "parent": parent,
        "dependencies": dependencies,
    }


def test_the_picture_shows_components_their_contents_and_what_they_wait_for() -> None:
    one, two, three = (resource(f"langfuse:index:{name}", name.lower()) for name in ("One", "Two", "Three"))
    first = resource("kubernetes:core/v1:Secret", "a", one["urn"])
    second = resource("kubernetes:batch/v1:Job", "b", two["urn"], first["urn"])
    third = resource("kubernetes:apps/v1:Deployment", "c", three["urn"], first["urn"], second["urn"])
    assert draw([one, two, three, first, second, third]).splitlines() == [
        "```mermaid",
        "flowchart LR",
        '    one["<b>One</b><br/>Secret"]',
        '    two["<b>Two</b><br/>Job"]',
        '    three["<b>Three</b><br/>Deployment"]',
        "    one --> two",
        "    two --> three",
        "```",
    ]


def test_the_picture_replaces_only_what_is_between_its_marks() -> None:
    text = README.read_text()
    new = replace(text, "NEW")
    assert "NEW" in new
    assert new.splitlines()[:3] == text.splitlines()[:3]
    assert replace(new, "NEW") == new


@pytest.mark.parametrize("target", ["up", "test", "test-fast"])
def test_the_readme_and_the_guide_name_targets_that_exist(target: str) -> None:
    makefile = (README.parent / "Makefile").read_text()
    assert f"\n{target}:" in makefile
    assert f"make {target}" in README.read_text() + (README.parent / "CONTRIBUTING.md").read_text()
