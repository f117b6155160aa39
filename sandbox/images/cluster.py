"""The images that a cluster itself needs: CoreDNS and the pause container. Each is one static binary.

Tags are those of kubeadm 1.36 (cmd/kubeadm/app/constants/constants.go), so that they can also be pulled.
"""

from __future__ import annotations

from pathlib import Path

from sandbox import golang, pins, toolchain
from sandbox.images.oci import Contents, ImageConfig
from sandbox.images.recipe import WORK, Layer, Recipe, same_release, tools

COREDNS_REPOSITORY = "registry.k8s.io/coredns/coredns"
COREDNS = f"{COREDNS_REPOSITORY}:{pins.module_version('coredns', 'github.com/coredns/coredns')}"
"""With the plugins health, ready, errors, cache, kubernetes and forward only (`sandbox/tools/coredns/main.go`)."""

PAUSE_REPOSITORY = "registry.k8s.io/pause"
PAUSE = f"{PAUSE_REPOSITORY}:3.10.2"
"""The sandbox image of a pod: it holds the pod's namespaces."""

_NON_ROOT = "65532:65532"  # `nonroot` of the official image's base, gcr.io/distroless/static-debian12:nonroot
_NET_BIND_SERVICE = 10  # CAP_NET_BIND_SERVICE, for port 53 (the Dockerfile of CoreDNS)
_PAUSE_USER = "65535:65535"  # build/pause/Dockerfile of Kubernetes


def coredns(tag: str) -> Recipe:
    """The recipe of CoreDNS in the pinned version."""
    same_release(COREDNS_REPOSITORY, tag, COREDNS.rpartition(":")[2])
    return Recipe(
        layers=(tools("coredns", folder="", capability=_NET_BIND_SERVICE),),
        config=ImageConfig(user=_NON_ROOT, entrypoint=("/coredns",), exposed_ports=(53,)),
    )


def pause(_tag: str) -> Recipe:
    """The recipe of the pause container, the same for every tag."""
    source = pins.TOOLS / "pause"

    def fill(contents: Contents, folder: Path) -> None:
        (folder / WORK).mkdir()
        executable = folder / WORK / "pause"
        with toolchain.locked():
            (golang.find() or golang.fetch()).build(".", source, (), executable)
        contents.file("/pause", executable, mode=0o755)

    return Recipe(
        layers=(Layer(name="pause", inputs=(pins.key("pause"),), fill=fill),),
        config=ImageConfig(user=_PAUSE_USER, entrypoint=("/pause",)),
    )
