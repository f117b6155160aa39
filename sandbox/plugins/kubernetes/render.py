"""Writes objects to YAML files instead of a cluster: `renderYamlToDirectory`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import yaml

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.discovery import BUILT_IN_GROUPS
from sandbox.plugins.kubernetes.objects import Kind, Object, name, namespace, text

DEFINITIONS: Final = "0-crd"
MANIFESTS: Final = "1-manifest"
PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600


def path_of(obj: Object, directory: str) -> Path:
    """Return the file of an object. CRDs are in a folder that sorts first."""
    kind = Kind.of(obj)
    is_definition = kind.group in BUILT_IN_GROUPS and kind.kind == "CustomResourceDefinition"
    api_version = text(obj, "apiVersion").replace("/", "_").replace(":", "_")
    file = f"{api_version}-{kind.kind.lower()}-{namespace(obj) or 'default'}-{name(obj)}.yaml"
    return Path(directory) / (DEFINITIONS if is_definition else MANIFESTS) / file


def write(obj: Object, directory: str) -> Path:
    """Write an object to a file that only its owner can read, because Secrets are plain text. Raises PluginError."""
    path = path_of(obj, directory)
    try:
        for folder in (DEFINITIONS, MANIFESTS):
            (Path(directory) / folder).mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(obj, file, sort_keys=True, allow_unicode=True)
    except OSError as error:
        raise PluginError(f"kubernetes:renderYamlToDirectory: {path} can't be written: {error.strerror}") from error
    return path


def remove(obj: Object, directory: str) -> Path:
    """Delete the file of an object if it exists."""
    path = path_of(obj, directory)
    path.unlink(missing_ok=True)
    return path
