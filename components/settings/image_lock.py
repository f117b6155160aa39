"""The file with the digests of images, which `python -m operations images lock` writes."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.schema.environment import Settings
from components.schema.image_settings import ORIGINAL_REGISTRIES
from components.settings import documents
from components.stores.images import all_images

FILE: Final = Path(__file__).resolve().parents[2] / "stacks/images.lock.json"


def read(file: Path = FILE) -> Mapping[str, str]:
    """The digest of each image, by its name with the tag; empty without a file.

    Raises:
        DocumentError: The file is not a map of names to digests.
    """
    if not file.exists():
        return {}
    _, content = documents.read_mapping(file)
    return {name: str(digest) for name, digest in content.items()}


def write(digests: Mapping[str, str], file: Path = FILE) -> None:
    """Replace the file at once: a reader sees the old or the new content."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(dict(sorted(digests.items())), indent=2) + "\n")
    new.replace(file)


def with_digests(settings: Settings, lock: Mapping[str, str]) -> Settings:
    """The settings with the digests of their images from the lock file. Those of the stack file take precedence."""
    names = (settings.images.named(original) for original in all_images(settings))
    locked = {name: lock[name] for name in names if name in lock}
    if not locked:
        return settings
    chosen = settings.images.model_copy(update={"digests": {**locked, **settings.images.digests}})
    return settings.model_copy(update={"images": chosen})


def digests_are_complete(settings: Settings) -> Iterator[str]:
    """Once an image is locked, all are: after a change of a release, the new image must not run unlocked."""
    names = {settings.images.named(original) for original in all_images(settings)}
    digests = settings.images.digests
    for name in sorted(digests.keys() - names):
        yield f"images.digests.{name}: is not an image of this stack; remove it"
    missing = sorted(names - digests.keys())
    if missing and digests.keys() & names:
        yield (
            f"images.digests: {', '.join(missing)} has no digest, and other images of this stack have one; run "
            f"`python -m operations images lock --stack {settings.stack}`"
        )


def mirrors_are_of_original_registries(settings: Settings) -> Iterator[str]:
    """A mirror of a registry that no image comes from is probably a spelling mistake."""
    for name in sorted(settings.images.registries.keys() - {*ORIGINAL_REGISTRIES}):
        yield f"images.registries.{name}: is not the registry of any image; use {', '.join(ORIGINAL_REGISTRIES)}"
