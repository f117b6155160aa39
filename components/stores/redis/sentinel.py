"""Redis as three Valkeys that the stack runs, each with a Sentinel beside it that watches them all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts
from components.kubernetes.installation import (
    Installation,
    config_map,
    service,
    service_account,
)
from components.kubernetes.jobs import run_script, scripts_mount
from components.kubernetes.labels import Workload
from components.kubernetes.pods import Container, Mount, container, exec_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import VOLUME, host_names, pod_names, stateful_set, volume_claims
from components.kubernetes.variables import Environment, PodField, SecretRef
from components.schema import images
from components.schema.base import Resources
from components.schema.stores import SentinelRedis
from components.stores.connections import Endpoint
from components.stores.redis.valkey import CONFIGURATION, GRACE_SECONDS, PORT, START_SECONDS, valkey_configuration

SCRIPTS = Path(__file__).parent / "scripts"

SENTINEL_PORT = 26379
MASTER_NAME = "langfuse"

REPLICAS = 3
"""Of servers and Sentinels: two of three are a majority when one is lost."""

QUORUM = 2

DOWN_AFTER_MILLISECONDS = 5000
"""Silence after which a server counts as lost. A restart within it promotes nobody."""

SENTINEL_RESOURCES = Resources(cpu="50m", cpu_limit="250m", memory="64Mi", ephemeral_storage="64Mi")

HAND_OVER_SECONDS = 15
"""How long a primary that is told to stop tries to have a replica promoted. It takes a few seconds, and never more than
twice this time; the rest of `GRACE_SECONDS` is for the server itself."""

ASK_SECONDS = 20
"""How long a server that starts waits for the Sentinels of other pods to say who the primary is. A new pod may reach
nobody for a moment, until its network policies and its name are known."""

SENTINEL_ASK_SECONDS = 5
"""The same of a Sentinel. Shorter, because after a stop of all three the servers wait for the Sentinels."""

RUNNING_CONFIGURATION = "/run/valkey/valkey.conf"
"""Where a Sentinel can have a server rewrite its configuration after a failover, which a ConfigMap refuses."""

STATE = "/data/sentinel.conf"
"""What a Sentinel knows, on the volume beside the data: when all have stopped, each still knows who was the primary."""

SCRIPT_NAMES = (
    "find-primary.sh",
    *("start-valkey-member.sh", "check-valkey.sh", "check-valkey-member.sh", "hand-over-primary.sh"),
    *("start-sentinel.sh", "check-sentinel.sh"),
)


def workload_of(installation: Installation, version: str) -> Workload:
    """The workload that both programs belong to."""
    return installation.workload("redis", component="queue", version=version)


def sentinel_endpoints(installation: Installation) -> Sequence[Endpoint]:
    """Where clients ask for the primary."""
    hosts = host_names(installation, workload_of(installation, ""), REPLICAS)
    return [Endpoint(host=host, port=SENTINEL_PORT) for host in hosts]


def watched_valkeys(
    installation: Installation,
    settings: SentinelRedis,
    password: SecretRef,
    annotations: Mapping[str, pulumi.Input[str]],
    child: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """A primary and two replicas. They start together: who is the primary is asked at each start."""
    image = images.valkey(settings.version)
    workload = workload_of(installation, image.tag)
    account = service_account(installation, workload, child)
    ports = {"tcp-redis": PORT, "tcp-sentinel": SENTINEL_PORT}
    governing = service(installation, workload, ports, child, headless=True)
    volumes = volume_claims(installation, workload, pod_names(workload, REPLICAS), settings.storage, child)
    configuration = config_map(
        installation, workload, "config", {"valkey.conf": valkey_configuration(settings.resources)}, child
    )
    files = read_scripts(SCRIPTS, *SCRIPT_NAMES)
    scripts = scripts_mount(config_map(installation, workload, "scripts", files, child))
    data = Mount.template(VOLUME, "/data")
    mounts = [
        data,
        Mount.config("config", configuration.metadata.name, "/etc/valkey"),
        Mount.scratch("run", "/run/valkey"),
        scripts,
    ]
    variables = environment(installation, workload, password)
    template = pod(
        workload,
        [valkey(settings, variables, mounts), sentinel(settings, variables, [data, scripts])],
        fs_group=image.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        annotations=annotations,
    )
    return stateful_set(installation, workload, template, child, governing=governing, volumes=volumes)


def environment(installation: Installation, workload: Workload, password: SecretRef) -> Environment:
    """What the scripts of both programs read."""
    first, *_ = host_names(installation, workload, REPLICAS)
    host = f"$(POD_NAME).{first.partition('.')[2]}"
    return {
        "POD_NAME": PodField(path="metadata.name"),
        # The name that the client reads; Valkey's keeps it for compatibility.
        "REDISCLI_AUTH": password,
        "FIRST_PRIMARY": f"{first}:{PORT}",
        "MASTER_NAME": MASTER_NAME,
        "MEMBER": f"{host}:{PORT}",
        "OWN_SENTINEL": f"{host}:{SENTINEL_PORT}",
        "SENTINEL_STATE": STATE,
        "SENTINELS": " ".join(endpoint.authority for endpoint in sentinel_endpoints(installation)),
        "QUORUM": str(QUORUM),
        "DOWN_AFTER_MILLISECONDS": str(DOWN_AFTER_MILLISECONDS),
    }


def valkey(settings: SentinelRedis, variables: Environment, mounts: Sequence[Mount]) -> Container:
    """The server. It is ready once it has the data, so that an update waits for that before it takes the next one.

    A primary that is told to stop hands over before. Then it waits for nobody: it has the data that its replicas have.
    """
    return container(
        "valkey",
        images.valkey(settings.version),
        command=[*run_script("start-valkey-member.sh"), CONFIGURATION, RUNNING_CONFIGURATION, str(ASK_SECONDS)],
        resources=settings.resources,
        mounts=mounts,
        env=variables,
        ports={"tcp-redis": PORT},
        startup=exec_probe(run_script("check-valkey.sh"), period=5, failures=START_SECONDS // 5),
        readiness=exec_probe([*run_script("check-valkey-member.sh"), str(PORT)], period=5, failures=3),
        liveness=tcp_probe(PORT, period=20, failures=6),
        pre_stop=[*run_script("hand-over-primary.sh"), str(PORT), str(HAND_OVER_SECONDS)],
    )


def sentinel(settings: SentinelRedis, variables: Environment, mounts: Sequence[Mount]) -> Container:
    """The Sentinel. It has started once enough of them see each other to promote another server."""
    return container(
        "sentinel",
        images.valkey(settings.version),
        command=[*run_script("start-sentinel.sh"), str(SENTINEL_PORT), str(SENTINEL_ASK_SECONDS)],
        resources=SENTINEL_RESOURCES,
        mounts=mounts,
        env=variables,
        ports={"tcp-sentinel": SENTINEL_PORT},
        startup=exec_probe(
            [*run_script("check-sentinel.sh"), str(SENTINEL_PORT)], period=5, failures=START_SECONDS // 5
        ),
        readiness=exec_probe(
            ["/bin/sh", "-c", f'[ "$(valkey-cli -p {SENTINEL_PORT} PING)" = PONG ]'], period=10, failures=3
        ),
        liveness=tcp_probe(SENTINEL_PORT, period=20, failures=6),
    )
