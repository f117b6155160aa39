"""Modules that Node loads before Langfuse starts (`config/`)."""

from collections.abc import Sequence
from pathlib import Path

from components.kubernetes.files import read_config
from components.kubernetes.objects import Scope, config_map
from components.kubernetes.pods import Mount
from components.kubernetes.variables import Environment

CONFIG = Path(__file__).parent / "config"

MODULES = "/etc/langfuse"
CLOSE_CONNECTIONS = "close-connections.cjs"
"""After SIGTERM, each response of web closes its connection, and uploads do not keep connections to MinIO open."""
LISTEN_ON_IPV6 = "listen-on-ipv6.cjs"
"""A pod with an IPv6 address listens there too."""
KEEP_REDIS_CONNECTIONS = "keep-redis-connections.cjs"
"""After a failover, ioredis does not close connections that work."""


def modules_mount(scope: Scope, names: Sequence[str]) -> Mount:
    """A ConfigMap with modules, as files."""
    modules = config_map(scope, "modules", {name: read_config(CONFIG / name) for name in names})
    return Mount.config("modules", modules.metadata.name, MODULES)


def with_modules(environment: Environment, names: Sequence[str]) -> Environment:
    """The environment with Node options that load modules. NODE_OPTIONS from a Secret stay as they are."""
    options = environment.get("NODE_OPTIONS", "")
    if not isinstance(options, str):
        return environment
    required = (f"--require={MODULES}/{name}" for name in names)
    return {**environment, "NODE_OPTIONS": " ".join([options, *required]).strip()}
