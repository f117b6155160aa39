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
from sandbox.images import catalog, layers
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
    registries = sorted({catalog.Reference.parse(reference).registry for reference in references})
    return Mode.PULL if all(reachable(registry, hosts) for registry in registries) else Mode.PACK


def reachable(registry: str, hosts: releases.Hosts) -> bool:
    """Whether a registry answers. Its API answers 200, or 401 to who has no token (distribution-spec)."""
    if os.environ.get(releases.OFFLINE_VARIABLE):
        return False
    host = {"docker.io": "registry-1.docker.io"}.get(registry, registry)
    try:
        with tempfile.TemporaryDirectory() as folder:
            releases.fetch(f"https://{host}/v2/", Path(folder) / "answer", hosts)
    except releases.StatusError as error:
        return error.status == HTTPStatus.UNAUTHORIZED
    except releases.UnavailableError:
        return False
    return True


def ensure(references: Iterable[str]) -> dict[str, Path]:
    """Return the archive of each image, for `ctr --namespace k8s.io images import`; build those that are missing.

    Raises `SandboxError` if an image can't be packed, before any is built.
    """
    recipes = {reference: catalog.recipe(reference) for reference in references}
    archives = {reference: layers.archive(reference, recipe) for reference, recipe in recipes.items()}
    missing = [reference for reference, archive in archives.items() if not archive.exists()]
    if missing:
        toolchain.ensure({tool for reference in missing for tool in recipes[reference].tools})
        with cache.disk_errors_explained("packing the images"):
            layers.folder().mkdir(parents=True, exist_ok=True)
            with cache.exclusive(layers.folder() / "lock", lambda: say("waiting for another run that packs images")):
                layers.tidy()
                progress = Progress(len(missing))
                for reference in missing:
                    with progress.step(reference):
                        if not archives[reference].exists():  # another checkout may have built it meanwhile
                            layers.build(reference, recipes[reference])
    return archives
