"""Redis: the job queues and a cache, served by Valkey."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import images
from components.connections import Endpoint, RedisConnection, SecretRef
from components.files import config, script
from components.installation import (
    Installation,
    child_options,
    config_map,
    service,
    service_account,
    volume_claim,
)
from components.jobs import run_script, scripts_mount
from components.pods import Mount, container, exec_probe, pod, tcp_probe
from components.settings import Redis as RedisSettings
from components.values import quantity_value

PORT = 6379
CONFIGURATION = "/etc/valkey/valkey.conf"
PASSWORD_FILE = "/run/valkey/password.conf"  # noqa: S105  # where it is, not what it is

START_SECONDS = 900
"""Time to read the append-only file back at start."""

GRACE_SECONDS = 60
"""Time to flush the append-only file after SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class RedisArgs:
    """What Redis needs."""

    installation: Installation
    settings: RedisSettings
    password: SecretRef
    annotations: Mapping[str, pulumi.Input[str]]

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {"version": images.VALKEY.tag, **self.settings.model_dump()}


class Redis(pulumi.ComponentResource):
    """Job queue and cache: Valkey with an append-only file, never evicting.

    BullMQ loses jobs when keys are evicted, so `noeviction` is not a setting. The startup probe holds the pod back
    if the server ever ran without it.
    """

    connection: RedisConnection
    ready: Sequence[pulumi.Resource]
    """What a caller waits for before it connects."""

    def __init__(self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Redis", name, args.visible(), opts)
        child = child_options(self, opts)
        installation = args.installation
        image = images.VALKEY
        workload = installation.workload("redis", component="queue", version=image.tag)
        account = service_account(installation, workload, child)
        service(installation, workload, {"tcp-redis": PORT}, child)
        governing = service(installation, workload, {"tcp-redis": PORT}, child, headless=True)
        claim = volume_claim(installation, workload, args.settings.storage, child)
        configuration = config_map(
            installation, workload, "config", {"valkey.conf": valkey_configuration(args.settings)}, child
        )
        scripts = config_map(
            installation, workload, "scripts", script("start-valkey.sh") | script("check-valkey.sh"), child
        )
        mounts = [
            Mount.claim("data", claim.metadata.name, "/data"),
            Mount.config("config", configuration.metadata.name, "/etc/valkey"),
            Mount.scratch("run", "/run/valkey"),
            scripts_mount(scripts),
        ]
        server = k8s.apps.v1.StatefulSet(
            workload.resource_name,
            metadata=installation.metadata(workload, name=workload.resource_name),
            spec={
                "replicas": 1,
                "revision_history_limit": 3,
                "selector": {"match_labels": workload.selector},
                "service_name": governing.metadata.name,
                "template": pod(
                    workload,
                    [
                        container(
                            "valkey",
                            image,
                            command=[*run_script("start-valkey.sh"), CONFIGURATION, PASSWORD_FILE],
                            resources=args.settings.resources,
                            mounts=mounts,
                            # The name that the client reads; Valkey's keeps it for compatibility.
                            env={"REDISCLI_AUTH": args.password},
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
                    annotations=args.annotations,
                ),
            },
            opts=installation.stateful(child),
        )
        self.connection = RedisConnection(
            endpoint=Endpoint(host=workload.resource_name, port=PORT), password=args.password
        )
        self.ready = [server]
        self.register_outputs({"address": self.connection.endpoint.authority})


def valkey_configuration(settings: RedisSettings) -> str:
    """valkey.conf: three quarters of the memory are for data, the rest for copies while the file is rewritten."""
    return config("valkey/valkey.conf", maxmemory_bytes=int(quantity_value(settings.resources.memory) * 3 / 4))
