"""The generated files, and the functions that render them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.docs import configuration, example, images, policies, schema

ROOT: Final = Path(__file__).parents[2]

FILES: Final[Mapping[Path, Callable[[], str]]] = {
    ROOT / "docs" / "configuration.md": configuration.render,
    ROOT / "docs" / "images.md": images.render,
    ROOT / "docs" / "policies.md": policies.render,
    ROOT / "docs" / "examples" / "every-key.yaml": example.render,
    ROOT / "stacks" / schema.FILE: schema.render,
}


def write() -> str:
    """Write every file and return their names."""
    for path, render in FILES.items():
        path.write_text(render())
    return ", ".join(path.name for path in FILES)
