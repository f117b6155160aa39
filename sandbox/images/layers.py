"""Builds layers into the folder `images/layers` of the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox import cache
from sandbox.images.oci import Contents
from sandbox.images.recipe import WORK, Layer


def folder() -> Path:
    """The folder of all layers in the cache."""
    return cache.root() / "images" / "layers"


def ensure(layer: Layer) -> Path:
    """Return the tar of a layer; build it if the cache does not have it. The caller must hold the lock."""
    target = folder() / f"{layer.name}-{layer.key}"
    if not target.exists():
        with cache.published(target) as partial:
            contents = Contents()
            layer.fill(contents, partial)
            contents.write(partial / "layer.tar")
            shutil.rmtree(partial / WORK, ignore_errors=True)
    return target / "layer.tar"
