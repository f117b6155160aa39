"""Images for the real node of the sandbox: pulled from their registries, or packed from packages without a registry."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from sandbox import cache, releases, toolchain
from sandbox.errors import SandboxError
from sandbox.images import archives, catalog
from sandbox.images.catalog import Reference
from sandbox.progress import Progress, say

VARIABLE = "IMAGES"


class Mode(StrEnum):
    """Where images come from: the values of the variable `IMAGES`."""

    PULL = "pull"
    PACK = "pack"


def mode(references: Iterable[str]) -> Mode:
    """`IMAGES` if it is set; else pull if all registries of these images can be reached, else pack.

    An unreachable registry is remembered for ten minutes (`releases.Hosts`), and costs at most eight seconds.
    """
    if chosen := os.environ.get(VARIABLE):
        if chosen not in set(Mode):
            raise SandboxError(f"{VARIABLE}={chosen}: unknown value", f"set {VARIABLE} to {' or '.join(Mode)}")
        return Mode(chosen)
    hosts = releases.Hosts(cache.root() / "unreachable.json")
    addresses = sorted({Reference.parse(reference).api for reference in references})
    return Mode.PULL if all(_reachable(address, hosts) for address in addresses) else Mode.PACK


def _reachable(address: str, hosts: releases.Hosts) -> bool:
    """Whether a registry answers: with 200, or with 401 to who has no token (distribution-spec, end-1)."""
    if os.environ.get(releases.OFFLINE_VARIABLE):
        return False
    try:
        with tempfile.TemporaryDirectory() as folder:
            releases.fetch(address, Path(folder) / "answer", hosts)
    except releases.StatusError as error:
        return error.status == HTTPStatus.UNAUTHORIZED
    except releases.UnavailableError:
        return False
    return True


def ensure(references: Iterable[str]) -> dict[str, Path]:
    """Return the archive of each image, for `ctr --namespace k8s.io images import`; make those that are missing.

    `mode` decides whether they are pulled or packed.

    Raises:
        SandboxError: An image can't be pulled or packed. What can't be packed is reported before anything is built.
    """
    names = list(references)
    parsed = [Reference.parse(name) for name in names]
    packed = mode(names) is Mode.PACK
    recipes = {reference: catalog.recipe(str(reference)) if packed else None for reference in parsed}
    found = {reference: archives.path(reference, recipe) for reference, recipe in recipes.items()}
    if missing := [reference for reference in found if not found[reference].exists()]:
        toolchain.ensure({tool for reference in missing if (recipe := recipes[reference]) for tool in recipe.tools})
        with cache.disk_errors_explained("preparing the images"):
            archives.folder().mkdir(parents=True, exist_ok=True)
            with cache.exclusive(archives.folder() / "lock", lambda: say("waiting for another run that makes images")):
                archives.tidy()
                progress = Progress(len(missing))
                for reference in missing:
                    with progress.step(f"image {reference}"):
                        if not found[reference].exists():  # another checkout may have made it meanwhile
                            archives.build(reference, recipes[reference])
    return {str(reference): file for reference, file in found.items()}
