"""Archives of images in the cache, in the folder `images/archives`."""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox import cache
from sandbox.images import layers
from sandbox.images.catalog import Reference
from sandbox.images.oci import write_archive
from sandbox.images.pull import pull
from sandbox.images.recipe import WORK, Recipe, short_hash


def folder() -> Path:
    """The folder of all archives."""
    return cache.root() / "images" / "archives"


def tidy() -> None:
    """Remove the partial folders of killed runs. The caller must hold the lock."""
    for parent in (layers.folder(), folder()):
        cache.tidy(parent)


def path(reference: Reference, recipe: Recipe | None) -> Path:
    """The path of an image's archive, whether it exists or not. A pulled image has no recipe."""
    name = reference.repository.rpartition("/")[2]
    key = short_hash(str(reference), recipe.key if recipe else "pulled")
    return folder() / f"{name}-{reference.tag}-{key}" / "image.tar"


def build(reference: Reference, recipe: Recipe | None) -> None:
    """Pack an image, or pull it if it has no recipe. The caller must hold the lock."""
    target = path(reference, recipe)
    tars = [layers.ensure(layer) for layer in recipe.layers] if recipe else []
    with cache.published(target.parent) as partial:
        if recipe:
            write_archive(partial / target.name, str(reference), recipe.config, tars)
        else:
            (partial / WORK).mkdir()
            pull(reference, partial / WORK, partial / target.name)
            shutil.rmtree(partial / WORK)
