import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from components.network.requests import steady_state_pods
from components.schema.environment import PROJECT, Settings
from components.schema.requests import Requests
from components.settings.load import parse
from tools.docs.configuration import render
from tools.docs.fields import discriminator, keys
from tools.docs.generated import FILES, ROOT
from tools.docs.picture import Resource, draw, replace

README = ROOT / "README.md"
EXAMPLE = ROOT / "docs" / "examples" / "every-key.yaml"
MODELINE = "# yaml-language-server: $schema="


def models() -> set[type[BaseModel]]:
    """Every model of the configuration."""
    found: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel]) -> None:
        found.add(model)
        for key in keys(model):
            for inner in key.models:
                walk(inner)

    walk(Settings)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_pages_are_current(path: Path) -> None:
    assert path.read_text() == FILES[path](), "run `make docs`"


def test_the_configuration_reference_has_a_row_for_every_key() -> None:
    """The last part of a dotted key is in a row with its type. A discriminator is in a heading or before a table."""
    text = render()
    rows = {re.sub(r"[\[\]]", "", row.split("`")[1]).split(".")[-1] for row in re.findall(r"^\| `.*", text, re.M)}
    for model in models():
        choice = discriminator(model)
        for key in keys(model):
            if choice and key.name == choice[0]:
                assert f"`{choice[0]}: {choice[1]}`" in text
            elif key.models and not key.container:
                assert key.name in text
            else:
                assert key.name in rows | {heading.split(":")[-1] for heading in re.findall("## `(.*)`", text)}


def test_the_configuration_reference_shows_every_mode_with_the_profiles_that_use_it() -> None:
    text = render()
    assert "### `mode: sentinel` (default in prod)" in text
    assert "### `mode: managed` (default in dev, preview, staging)" in text
    assert "### `mode: cloudnativepg`\n" in text


def test_the_configuration_reference_shows_required_keys_and_defaults_by_profile() -> None:
    text = render()
    assert "| `host` | host name | **required** | Public host name. |" in text
    assert re.search(r"\| `replicas` \| `1`, `3` \| `1`; prod: `3` \|", text)
    assert re.search(r"\| `instances` \| 1 to 9 \| `3` \|", text)
    assert re.search(r"\| `storage` \| bytes, such as `50Gi` \| \[by scale\]\(#scales\) \|", text)


def test_links_in_the_configuration_reference_have_a_target() -> None:
    text = render()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall("^#+ (.*)", text, re.M)
    }
    assert set(re.findall(r"\]\(#(.*?)\)", text)) <= headings


def uncommented(text: str) -> str:
    """A commented-out block as it would be in a stack file."""
    return re.sub("^  #", "  ", text, flags=re.M)


def chosen(value: Mapping[str, object]) -> object:
    """The mode of a store, or the kind of the ingress."""
    return value["mode"] if "mode" in value else value["kind"]


def alternatives() -> Iterator[tuple[str, str]]:
    """Name and text of each commented-out block of the example."""
    for block in re.split("\n\n", EXAMPLE.read_text()):
        if block.startswith("  #") and "\n  #" in block and not re.search("^  [^#]", block, re.M):
            config = yaml.safe_load(uncommented(block))
            ((name, value),) = config.items()
            yield f"{name}={chosen(value)}", block


ALTERNATIVES = dict(alternatives())


def configuration(text: str) -> dict[str, object]:
    loaded = yaml.safe_load(text)["config"]
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in loaded.items()}


def test_the_example_is_a_valid_configuration() -> None:
    assert parse("example", configuration(EXAMPLE.read_text())).profile == "prod"


def test_the_example_has_a_comment_for_every_new_key() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(f"  #?{PROJECT}:", line):
            assert before.startswith("  #"), line


def test_the_example_has_every_key_of_every_model() -> None:
    """Keys are counted by model: those of `Resources` once, wherever they are used."""
    seen: dict[str, set[str]] = {}

    def walk(model: type[BaseModel], value: object) -> None:
        assert isinstance(value, dict), f"{model.__name__} has {value}"
        for owner in model.__mro__:
            if issubclass(owner, BaseModel):
                seen.setdefault(owner.__name__, set()).update(value)
        for key in keys(model):
            if key.name not in value or not key.models:
                continue
            inner = value[key.name]
            items = list(inner.values()) if key.container == "map" else inner if key.container else [inner]
            for item in items:
                fitting = [one for one in key.models if (discriminator(one) or ("", None))[1] in [None, *item.values()]]
                walk(fitting[0], item)

    for text in (EXAMPLE.read_text(), *("config:\n" + uncommented(block) for block in ALTERNATIVES.values())):
        walk(Settings, configuration(re.sub(r"^(\s{4,})#(?=\S+:)", r"\1", text, flags=re.M)))
    for model in models():
        inherited = {key.name for base in model.__bases__ if issubclass(base, BaseModel) for key in keys(base)}
        missing = {key.name for key in keys(model)} - inherited - seen.get(model.__name__, set())
        assert not missing, f"{model.__name__}: give examples in tools/docs/example.py"


def test_the_example_has_every_mode_of_every_store() -> None:
    shown = configuration(EXAMPLE.read_text())
    for key in keys(Settings):
        if len(key.models) > 1 and not key.container:
            active = shown[key.name]
            assert isinstance(active, dict)
            modes = {value for model in key.models for name, value in [discriminator(model) or ("", "")]}
            offered = {name.split("=")[1] for name in ALTERNATIVES if name.startswith(f"{PROJECT}:{key.name}=")}
            assert offered | {chosen(active)} == modes


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_an_alternative_of_the_example_can_replace_the_block_above_it(name: str) -> None:
    """Individual credentials are replaced too, since they fit the modes above."""
    key = name.split("=", maxsplit=1)[0].removeprefix(f"{PROJECT}:")
    shown = configuration(EXAMPLE.read_text())
    credentials = shown["credentials"]
    assert isinstance(credentials, dict)
    swapped = configuration("config:\n" + uncommented(ALTERNATIVES[name]))
    settings = parse("example", {**shown, **swapped, "credentials": {**credentials, "values": {}}})
    dumped = settings.model_dump(by_alias=True)
    assert chosen(dumped[key]) == name.split("=")[1]


@pytest.mark.parametrize("path", sorted((ROOT / "stacks").glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_every_stack_file_is_valid(path: Path) -> None:
    stack = path.stem.removeprefix("Pulumi.")
    assert parse(stack, configuration(path.read_text())).host


@pytest.mark.parametrize("path", sorted((ROOT / "stacks").glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_no_stack_file_belongs_to_the_passphrase_of_somebody(path: Path) -> None:
    """`pulumi stack init` adds a salt to the file, with which every other passphrase is refused."""
    assert {*yaml.safe_load(path.read_text())} == {"config"}


@pytest.mark.parametrize("path", [EXAMPLE, *sorted((ROOT / "stacks").glob("*.yaml"))], ids=lambda path: path.stem)
def test_every_stack_file_names_the_schema_on_its_first_line(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith(MODELINE)
    assert (path.parent / first.removeprefix(MODELINE)).resolve() == ROOT / "stacks" / "schema.json"


def resource(kind: str, name: str, parent: str = "", *dependencies: str) -> Resource:
    return {
        "urn": f"urn:pulumi:dev::langfuse::{kind}::{name}",
        "type": kind,
        "parent": parent,
        "dependencies": dependencies,
    }


def test_the_diagram_shows_components_contents_and_dependencies() -> None:
    one, two, three = (resource(f"langfuse:index:{name}", name.lower()) for name in ("One", "Two", "Three"))
    first = resource("kubernetes:core/v1:Secret", "a", one["urn"])
    second = resource("kubernetes:batch/v1:Job", "b", two["urn"], first["urn"])
    third = resource("kubernetes:apps/v1:Deployment", "c", three["urn"], first["urn"], second["urn"])
    assert draw([one, two, three, first, second, third]).splitlines() == [
        "```mermaid",
        "flowchart LR",
        '    one["<b>One</b><br/>Secret"]',
        '    three["<b>Three</b><br/>Deployment"]',
        '    two["<b>Two</b><br/>Job"]',
        "    one --> two",
        "    two --> three",
        "```",
    ]


def test_the_diagram_does_not_depend_on_the_order_of_registration() -> None:
    resources = [resource(f"langfuse:index:{name}", name.lower()) for name in ("One", "Two", "Three")]
    assert draw(resources) == draw(resources[::-1])


def test_the_diagram_replaces_only_the_text_between_its_markers() -> None:
    text = README.read_text()
    new = replace(text, "NEW")
    assert "NEW" in new
    assert new.splitlines()[:3] == text.splitlines()[:3]
    assert replace(new, "NEW") == new


@pytest.mark.parametrize("target", ["up", "test", "test-fast"])
def test_the_readme_and_the_guide_mention_existing_make_targets(target: str) -> None:
    makefile = (README.parent / "Makefile").read_text()
    assert f"\n{target}:" in makefile
    assert f"make {target}" in README.read_text() + (README.parent / "CONTRIBUTING.md").read_text()


def test_the_example_for_a_laptop_requests_less_than_six_gibibytes() -> None:
    content = yaml.safe_load((ROOT / "docs/examples/laptop.yaml").read_text())["config"]
    settings = parse("laptop", {key.removeprefix("langfuse:"): value for key, value in content.items()})
    total = sum((item.total for item in steady_state_pods(settings)), start=Requests())
    assert total.memory < 6 * 1024**3
    assert total.cpu < 1
    assert settings.public_url == "http://localhost:3000"
