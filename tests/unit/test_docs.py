from pathlib import Path

from components.settings import Settings
from docs.configuration import render

REFERENCE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_reference_is_current() -> None:
    assert REFERENCE.read_text() == render(), "run `make docs`"


def test_the_configuration_reference_names_every_key() -> None:
    text = REFERENCE.read_text()
    for name, field in Settings.model_fields.items():
        if not field.exclude:
            alias = field.alias or name
            assert f"`{alias}`" in text or f"`langfuse:{alias}`" in text
