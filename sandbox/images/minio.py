"""MinIO's server and client, for `quay.io/minio/minio` and `quay.io/minio/mc`: Debian's base with the pinned binary.

They are built from the commits in `sandbox/tools/minio/go.mod`, whatever the tag says. The official images are based on
Red Hat's minimal system and run as root by default, as these do; the pods set a user.
"""

from __future__ import annotations

from sandbox.images import debian
from sandbox.images.oci import PATH, ImageConfig
from sandbox.images.recipe import Recipe, tools


def server(_tag: str) -> Recipe:
    """The recipe of the server, the same for every tag."""
    return Recipe(
        layers=(debian.base(), tools("minio")),
        config=ImageConfig(environment={"PATH": PATH}, command=("minio",), exposed_ports=(9000,)),
    )


def client(_tag: str) -> Recipe:
    """The recipe of the client, the same for every tag."""
    return Recipe(
        layers=(debian.base(), tools("mc")), config=ImageConfig(environment={"PATH": PATH}, entrypoint=("mc",))
    )
