"""The format of ClickHouse's configuration files, and where its servers read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.pods import Mount


@dataclass(frozen=True, kw_only=True)
class FromEnv:
    """A value that the server reads from its environment, so that the file contains no secret."""

    variable: str


Value = str | int | FromEnv | Mapping[str, "Value"] | Sequence["Value"]


def document(root: str, content: Mapping[str, Value]) -> str:
    """An XML document: a mapping nests, a sequence repeats its element."""
    element = ElementTree.Element(root)
    _fill(element, content)
    ElementTree.indent(element, space="    ")
    return ElementTree.tostring(element, encoding="unicode") + "\n"


def _fill(parent: ElementTree.Element, content: Mapping[str, Value]) -> None:
    for name, value in content.items():
        repeated = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for item in repeated:
            element = ElementTree.SubElement(parent, name)
            if isinstance(item, FromEnv):
                element.set("from_env", item.variable)
            elif isinstance(item, Mapping):
                _fill(element, item)
            else:
                element.text = str(item)


def configuration_mount(config_map: pulumi.Input[str], path: str, files: Mapping[str, str]) -> Mount:
    """Keys of a ConfigMap as files: the path of each below `path`.

    The server merges files of `config.d` into config.xml, and of `users.d` into users.xml.
    """
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "config",
        "config_map": {
            "name": config_map,
            "items": [{"key": key, "path": file} for key, file in files.items()],
            "default_mode": 0o444,
        },
    }
    return Mount(volume=volume, path=path, read_only=True)
