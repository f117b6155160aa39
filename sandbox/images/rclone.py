"""rclone, for `docker.io/rclone/rclone`: Debian's base with the binary that the sandbox builds, with S3 alone."""

from __future__ import annotations

from components.schema import images
from sandbox import pins
from sandbox.images import debian
from sandbox.images.oci import PATH, ImageConfig
from sandbox.images.recipe import Recipe, same_release, tools


def recipe(tag: str) -> Recipe:
    """The recipe in the pinned version. The official image is based on Alpine and runs as root by default."""
    same_release(
        images.RCLONE.repository, tag, pins.module_version("rclone", "github.com/rclone/rclone").removeprefix("v")
    )
    return Recipe(
        layers=(debian.base(), tools("rclone")),
        config=ImageConfig(environment={"PATH": PATH}, entrypoint=("rclone",)),
    )
