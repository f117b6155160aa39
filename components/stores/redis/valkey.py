"""What all Valkey servers that this stack runs have in common: configuration, ports, times and probes."""

from pathlib import Path

import pulumi_kubernetes as k8s

from components.kubernetes.files import read_config
from components.kubernetes.objects import Scope, config_map
from components.kubernetes.pods import Mount, exec_probe
from components.schema.base import Resources
from components.stores.redis.memory import data_bytes

SCRIPTS = Path(__file__).parent / "scripts"
CONFIG = Path(__file__).parent / "config"

PORT = 6379
CONFIGURATION = "/etc/valkey/valkey.conf"

USERS = "/data/users.acl"
"""The hashes of the accepted passwords. On the volume, so that a restart in the middle of a rotation keeps them."""

START_SECONDS = 900
"""Time to load the append-only file at start."""

GRACE_SECONDS = 60
"""Time to flush the append-only file after SIGTERM."""


def configuration_mount(scope: Scope, resources: Resources) -> Mount:
    """The configuration file."""
    configuration = config_map(scope, "config", {"valkey.conf": valkey_configuration(resources)})
    return Mount.config("config", configuration.metadata.name, "/etc/valkey")


def valkey_configuration(resources: Resources) -> str:
    """valkey.conf, sized by the container's memory."""
    return read_config(CONFIG / "valkey.conf", maxmemory_bytes=data_bytes(resources))


def ping_probe(port: int, *, period: int) -> k8s.core.v1.ProbeArgsDict:
    """Whether a server or a Sentinel answers PING."""
    return exec_probe(["/bin/sh", "-c", f'[ "$(valkey-cli -p {port} PING)" = PONG ]'], period=period, failures=3)
