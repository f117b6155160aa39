"""Links between pages, and the files that pages name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.docs.generated import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages about the project as it is: the changelog names files that are gone."""


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ (.*)", without_code(page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[str]:
    """Links to files of this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if not re.match(r"[a-z]+:", target):
            yield target


def named_files(page: Path) -> Iterator[str]:
    """Paths in code spans that begin with a folder of this repository; patterns and placeholders are left out."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for text in re.findall(r"`([^`\s]+/[^`\s]*)`", without_code(page.read_text())):
        if text.split("/")[0] in folders and not re.search(r"[*<>{}$]|[A-Z]{3,}|^\.sandbox/|acknowledged", text):
            yield text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = [name for name in named_files(page) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("folder", ["decisions", "runbooks"])
def test_an_index_lists_every_page_of_its_folder(folder: str) -> None:
    index = ROOT / "docs" / folder / "README.md"
    pages = {page.name for page in index.parent.glob("*.md")} - {index.name}
    assert pages == {link.partition("#")[0] for link in links(index)} - {"../../CONTRIBUTING.md"}
