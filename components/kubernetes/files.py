"""Files that ship with the program: shell scripts of containers, and configuration of the stores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from components.kubernetes.objects import Scope, config_map
from components.kubernetes.pods import Mount

SCRIPTS_PATH = "/scripts"


def read_scripts(folder: Path, *names: str) -> dict[str, str]:
    """Shell scripts as the data of a ConfigMap."""
    return {name: (folder / name).read_text() for name in names}


def read_config(path: Path, **values: str | int) -> str:
    """A configuration file of a store, with its `${name}` placeholders replaced."""
    return Template(path.read_text()).substitute(values)


def scripts_mount(scope: Scope, files: Mapping[str, str], *, role: str = "scripts") -> Mount:
    """A ConfigMap with scripts, mounted where `run_script` finds them."""
    return Mount.config("scripts", config_map(scope, role, files).metadata.name, SCRIPTS_PATH)


def run_script(name: str) -> Sequence[str]:
    """The command that runs a script. Every image has a POSIX shell at this path."""
    return ["/bin/sh", f"{SCRIPTS_PATH}/{name}"]
