"""Redis as one Valkey that the stack runs."""

from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import config, read_scripts
from components.kubernetes.installation import Installation, config_map, service, service_account, volume_claim
from components.kubernetes.jobs import run_script, scripts_mount
from components.kubernetes.pods import Mount, container, exec_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import stateful_set
from components.kubernetes.variables import SecretRef
from components.schema import images
from components.schema.base import Resources
from components.schema.stores import ManagedRedis
from components.schema.values import quantity_value

SCRIPTS = Path(__file__).parent / "scripts"
CONFIG = Path(__file__).parent / "config"

PORT = 6379
CONFIGURATION = "/etc/valkey/valkey.conf"
PASSWORD_FILE = "/run/valkey/password.conf"  # noqa: S105  # where it is, not what it is

START_SECONDS = 900
"""Time to read the append-only file back at start."""

GRACE_SECONDS = 60
"""Time to flush the append-only file after SIGTERM."""


def valkey_server(
    installation: Installation,
    settings: ManagedRedis,
    password: SecretRef,
    annotations: Mapping[str, pulumi.Input[str]],
    child: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """One server. Its startup probe holds it back if it could lose jobs."""
    image = images.valkey(settings.version)
    workload = installation.workload("redis", component="queue", version=image.tag)
    account = service_account(installation, workload, child)
    service(installation, workload, {"tcp-redis": PORT}, child)
    governing = service(installation, workload, {"tcp-redis": PORT}, child, headless=True)
    claim = volume_claim(installation, workload, settings.storage, child)
    configuration = config_map(
        installation, workload, "config", {"valkey.conf": valkey_configuration(settings.resources)}, child
    )
    scripts = config_map(
        installation, workload, "scripts", read_scripts(SCRIPTS, "start-valkey.sh", "check-valkey.sh"), child
    )
    mounts = [
        Mount.claim("data", claim.metadata.name, "/data"),
        Mount.config("config", configuration.metadata.name, "/etc/valkey"),
        Mount.scratch("run", "/run/valkey"),
        scripts_mount(scripts),
    ]
    template = pod(
        workload,
        [
            container(
                "valkey",
                image,
                command=[*run_script("start-valkey.sh"), CONFIGURATION, PASSWORD_FILE],
                resources=settings.resources,
                mounts=mounts,
                # The name that the client reads; Valkey's keeps it for compatibility.
                env={"REDISCLI_AUTH": password},
                ports={"tcp-redis": PORT},
                startup=exec_probe(run_script("check-valkey.sh"), period=5, failures=START_SECONDS // 5),
                readiness=exec_probe(
                    ["/bin/sh", "-c", f'[ "$(valkey-cli -p {PORT} PING)" = PONG ]'], period=10, failures=3
                ),
                liveness=tcp_probe(PORT, period=20, failures=6),
            )
        ],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        annotations=annotations,
    )
    return stateful_set(installation, workload, template, child, governing=governing)


def valkey_configuration(resources: Resources) -> str:
    """valkey.conf: three quarters of the memory are for data, the rest for copies while the file is rewritten."""
    return config(CONFIG / "valkey.conf", maxmemory_bytes=int(quantity_value(resources.memory) * 3 / 4))
