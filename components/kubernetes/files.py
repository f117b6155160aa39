"""Files that ship with the program: the shell that Jobs run, and the configuration of the stores."""

from pathlib import Path
from string import Template


def read_scripts(folder: Path, *names: str) -> dict[str, str]:
    """Shell scripts as the data of a ConfigMap."""
    return {name: (folder / name).read_text() for name in names}


def config(path: Path, **values: str | int) -> str:
    """A configuration file of a store, with its `${name}` placeholders filled in."""
    return Template(path.read_text()).substitute(values)
