"""The structure of the code: imports point downwards and never in a circle, functions stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = dict.fromkeys(("components", "operations", "sandbox", "benchmarks", "tools"), CHECKOUT) | {
    "langfuse_policies": CHECKOUT / "policies"
}
"""Packages and the folder from which each is imported."""

LAYERS = (
    *("schema", "kubernetes", "credentials", "stores", "application", "backups", "network"),
    *("clients", "monitoring", "settings"),
)
"""Packages of components/, from the bottom to the top: each imports only from itself and from those before it."""

LONGEST = 50
"""Lines of a function, with its signature and docstring."""

TABLES: Mapping[str, str] = {
    "components.langfuse.Langfuse.__init__": "the bill of materials",
}
"""Functions that are longer because they hold nothing but a table of data, and why they can't be a constant."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for package, root in ROOTS.items():
        for file in (root / package).rglob("*.py"):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(file.read_text())
    return found


def imports(tree: ast.Module, known: Mapping[str, object]) -> Iterator[str]:
    """Modules of this project that a module imports: anywhere in it, for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known or node.module in known:
                    yield inner if inner in known else node.module


@cache
def imports_by_module() -> dict[str, list[str]]:
    return {name: sorted(set(imports(tree, modules())) - {name}) for name, tree in modules().items()}


def functions(tree: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
    """Qualified name and number of lines of each function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{inside}.{node.name}"
            if not isinstance(node, ast.ClassDef) and node.end_lineno:
                yield name, node.end_lineno - node.lineno + 1
            yield from functions(node, name)
        else:
            yield from functions(node, inside)


def layer(module: str) -> int | None:
    """The position of a module of components/; modules beside the packages stand above them."""
    package, _, rest = module.partition(".")
    if package != "components" or not rest:
        return None
    name = rest.split(".")[0]
    return LAYERS.index(name) if name in LAYERS else len(LAYERS)


def test_no_module_imports_itself_through_others() -> None:
    try:
        list(TopologicalSorter(imports_by_module()).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' <- '.join(error.args[1])}")


def test_components_import_from_lower_packages_only() -> None:
    upwards = {
        (name, imported)
        for name, found in imports_by_module().items()
        for imported in found
        if (above := layer(imported)) is not None and (own := layer(name)) is not None and above > own
    }
    assert sorted(upwards) == []


def test_functions_are_short() -> None:
    found = [each for module, tree in modules().items() for each in functions(tree, module)]
    too_long = {name for name, lines in found if lines > LONGEST}
    assert sorted(too_long - set(TABLES)) == []
