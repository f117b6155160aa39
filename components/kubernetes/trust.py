"""Certificates of private CAs (`langfuse:network.ca`), which programs that call out trust besides the public ones.

The files and variables follow from the image of a container, so no workload has to ask for them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.installation import Installation, Workload
from components.kubernetes.names import content_name
from components.kubernetes.objects import Scope, config_map
from components.schema.image_settings import NAMES

FOLDER: Final = "/etc/langfuse/trusted"
FILE: Final = "ca.pem"
ROLE: Final = "trusted"

_NODE: Final[Mapping[str, str]] = {"NODE_EXTRA_CA_CERTS": f"{FOLDER}/{FILE}"}
"""In addition to the CAs that are built into Node (nodejs.org/api/cli.html)."""

_GO: Final[Mapping[str, str]] = {"SSL_CERT_DIR": f"/etc/ssl/certs:/etc/pki/tls/certs:{FOLDER}"}
"""Every file in these folders, in addition to the bundle of the image (crypto/x509/root_unix.go in Go's library)."""

_CLICKHOUSE: Final[Mapping[str, str]] = {"SSL_CERT_FILE": f"{FOLDER}/{FILE}"}
"""OpenSSL's, in addition to the folder of the image with public CAs
(clickhouse.com/docs/operations/server-configuration-parameters/settings, `openSSL`)."""

VARIABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "web": {**_NODE, **_GO},  # it also has the program that migrates ClickHouse
    "worker": _NODE,
    "clickhouse": _CLICKHOUSE,
    "minio_client": _GO,
    "rclone": _GO,
    "oauth2_proxy": _GO,
}
"""By image: the variables with which its programs trust the file. Programs of other images call nothing outside."""


def trusted_certificates(installation: Installation, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """The ConfigMap with the certificates, which must exist before pods; none if there are no private CAs."""
    if installation.ca is None:
        return []
    scope = Scope(_workload(installation), opts)
    return [config_map(scope, ROLE, {FILE: installation.ca})]


def with_trust(installation: Installation, image: str, container: k8s.core.v1.ContainerArgsDict) -> None:
    """Add the file and the variables to a container whose programs call out. Variables that it has stay.

    Args:
        installation: The installation.
        image: The reference of the original image.
        container: The container.
    """
    variables = VARIABLES.get(NAMES.get(image.rpartition(":")[0], ""))
    if installation.ca is None or variables is None:
        return
    changed = cast("dict[str, Any]", container)
    names = {one["name"] for one in changed.get("env", [])}
    own = [{"name": name, "value": value} for name, value in variables.items() if name not in names]
    mount = {"name": ROLE, "mount_path": FOLDER, "read_only": True}
    changed["env"] = [*changed.get("env", []), *own]
    changed["volume_mounts"] = [*changed["volume_mounts"], mount]


def trusted_volumes(
    installation: Installation, containers: Iterable[k8s.core.v1.ContainerArgsDict]
) -> list[k8s.core.v1.VolumeArgsDict]:
    """The volume of the file, if a container mounts it."""
    mounts = (mount["name"] for one in containers for mount in cast("dict[str, Any]", one)["volume_mounts"])
    if installation.ca is None or ROLE not in mounts:
        return []
    name = content_name(f"{_workload(installation).resource_name}-{ROLE}", {FILE: installation.ca})
    return [{"name": ROLE, "config_map": {"name": name, "default_mode": 0o444}}]


def _workload(installation: Installation) -> Workload:
    return installation.workload("certificates", component="certificates")
