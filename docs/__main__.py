"""`python -m docs`: writes the generated documentation, `configuration.md`."""

from pathlib import Path

from docs.configuration import render

(Path(__file__).parent / "configuration.md").write_text(render())
