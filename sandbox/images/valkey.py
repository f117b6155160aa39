"""Valkey 8.1 of Debian, for `docker.io/valkey/valkey`.

The entrypoint of the official image changes the owner of `/data` and the user. The packed image has none: its user is
that of the pods.
"""

from __future__ import annotations

from components.schema.images import VALKEY
from sandbox.images import debian
from sandbox.images.oci import PATH, ImageConfig
from sandbox.images.recipe import File, Recipe, files, same_release

MAJOR = "8"
UID = VALKEY.uid

_BEFORE = f"""
groupadd --system --gid {UID} valkey
useradd --system --gid valkey --uid {UID} --home-dir /data --no-create-home valkey
"""


def recipe(tag: str) -> Recipe:
    """The recipe of a tag of release 8."""
    same_release(VALKEY.repository, tag, MAJOR)
    return Recipe(
        layers=(
            debian.base(),
            debian.packages("valkey", "valkey-server", before=_BEFORE),
            files("valkey-folders", File("/data", None, 0o755, (UID, UID))),
        ),
        config=ImageConfig(
            user=f"{UID}:{UID}",
            environment={"PATH": PATH},
            command=("valkey-server",),
            working_directory="/data",
            exposed_ports=(6379,),
        ),
    )
