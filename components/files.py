"""Files that ship with the program: the shell that Jobs run, and the configuration of the stores."""

from pathlib import Path
from string import Template

_HERE = Path(__file__).parent
SCRIPTS = _HERE / "scripts"
CONFIG = _HERE / "config"


def script(name: str) -> dict[str, str]:
    """A script as an entry of a ConfigMap."""
    return {name: (SCRIPTS / name).read_text()}


def config(path: str, **values: str | int) -> str:
    """A configuration file of a store, with its `${name}` placeholders filled in."""
    return Template((CONFIG / path).read_text()).substitute(values)
