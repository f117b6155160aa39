"""Builds layers and archives into the cache: `images/layers` and `images/archives` of the cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox import cache
from sandbox.images.oci import Contents, write_archive
from sandbox.images.recipe import WORK, Layer, Recipe, short_hash


def folder() -> Path:
    """The cache folder of images."""
    return cache.root() / "images"


def tidy() -> None:
    """Remove the partial folders of killed runs. The caller must hold the lock."""
    for kind in ("layers", "archives"):
        cache.tidy(folder() / kind)


def ensure(layer: Layer) -> Path:
    """Return the tar of a layer; build it if the cache does not have it. The caller must hold the lock."""
    target = folder() / "layers" / f"{layer.name}-{layer.key}"
    if not target.exists():
        with cache.published(target) as partial:
            contents = Contents()
            layer.fill(contents, partial)
            contents.write(partial / "layer.tar")
            shutil.rmtree(partial / WORK, ignore_errors=True)
    return target / "layer.tar"


def archive(reference: str, recipe: Recipe) -> Path:
    """The path of an image's archive, whether it exists or not."""
    name, _, tag = reference.rpartition("/")[2].partition(":")
    key = short_hash(reference, recipe.key)
    return folder() / "archives" / f"{name}-{tag}-{key}" / "image.tar"


def build(reference: str, recipe: Recipe) -> Path:
    """Build an image's archive. The caller must hold the lock."""
    target = archive(reference, recipe)
    tars = [ensure(layer) for layer in recipe.layers]
    with cache.published(target.parent) as partial:
        write_archive(partial / target.name, reference, recipe.config, tars)
    return target
