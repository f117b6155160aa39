"""ClickHouse Keeper: coordinates the replicas of ClickHouse and its statements ON CLUSTER."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import config
from components.kubernetes.installation import (
    Installation,
    child_options,
    config_map,
    service,
    service_account,
)
from components.kubernetes.pods import Mount, container, http_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import (
    VOLUME,
    host_names,
    pod_names,
    stateful_set,
    volume_claims,
)
from components.kubernetes.variables import PodField
from components.schema import images
from components.schema.stores import ManagedClickHouse
from components.stores.clickhouse.files import Value, document
from components.stores.connections import Endpoint

FILES = Path(__file__).parent / "config"

CLIENT_PORT = 9181
CONTROL_PORT = 9182
RAFT_PORT = 9234
METRICS_PORT = 9363
CONFIG_PATH = "/etc/clickhouse-keeper"
CONFIG, QUORUM = "config.xml", "cluster.xml"

FIRST_ID = 1
"""Ordinals start here, so that a pod's ordinal is its server id, which the stock configuration counts from 1."""

GRACE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class KeeperArgs:
    """What Keeper needs."""

    installation: Installation
    settings: ManagedClickHouse

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies."""
        return {
            "version": self.settings.version,
            "replicas": self.settings.keepers,
            "storage": self.settings.keeper_storage,
            "resources": self.settings.keeper_resources.model_dump(),
        }


class Keeper(pulumi.ComponentResource):
    """A quorum of Keepers. They start together, since none is ready before most of them have met.

    A rollout replaces one at a time and goes on when it follows or leads again, so the others keep the majority. Who
    belongs to the quorum stands in a ConfigMap of its own that changes in place: Keeper looks at its files while it
    runs, and the one that leads brings the others in without a restart, as ClickHouse's operator has it do
    (github.com/ClickHouse/clickhouse-operator, internal/controller/keeper). There is no way back from three to one.
    """

    endpoints: Sequence[Endpoint]
    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: KeeperArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Keeper", name, args.visible(), opts)
        child = child_options(self, opts)
        installation, settings = args.installation, args.settings
        image = replace(images.CLICKHOUSE_KEEPER, tag=settings.version)
        workload = installation.workload("keeper", component="coordination", version=image.tag)
        account = service_account(installation, workload, child)
        ports = {"tcp-keeper": CLIENT_PORT, "tcp-raft": RAFT_PORT}
        governing = service(installation, workload, ports, child, headless=True)
        hosts = host_names(installation, workload, settings.keepers, first=FIRST_ID)
        pods = pod_names(workload, settings.keepers, first=FIRST_ID)
        volumes = volume_claims(installation, workload, pods, settings.keeper_storage, child)
        configuration = config_map(installation, workload, "config", {CONFIG: config(FILES / "keeper.xml")}, child)
        quorum = k8s.core.v1.ConfigMap(
            f"{workload.resource_name}-quorum",
            metadata=installation.metadata(workload, name=f"{workload.resource_name}-quorum"),
            data={QUORUM: raft_configuration(hosts)},
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(hooks=_refusal())),
        )
        mounts = [
            Mount.template(VOLUME, "/var/lib/clickhouse-keeper"),
            _configuration_mount(configuration.metadata.name, quorum.metadata.name),
            Mount.scratch("tmp", "/tmp"),  # noqa: S108  # the pod's own
        ]
        template = pod(
            workload,
            [
                container(
                    "keeper",
                    image,
                    command=["clickhouse-keeper", f"--config-file={CONFIG_PATH}/{CONFIG}"],
                    resources=settings.keeper_resources,
                    mounts=mounts,
                    env={
                        "KEEPER_ID": PodField(path="metadata.labels['apps.kubernetes.io/pod-index']"),
                        "CLICKHOUSE_WATCHDOG_ENABLE": "0",
                        "TZ": "UTC",
                    },
                    ports={**ports, "http-control": CONTROL_PORT, "http-metrics": METRICS_PORT},
                    startup=tcp_probe(CLIENT_PORT, period=5, failures=60),
                    readiness=http_probe("/ready", CONTROL_PORT, period=10, failures=3),
                    liveness=tcp_probe(CLIENT_PORT, period=20, failures=6),
                )
            ],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
        )
        server = stateful_set(installation, workload, template, child, governing=governing, volumes=volumes)
        self.endpoints = [Endpoint(host=host, port=CLIENT_PORT) for host in hosts]
        self.ready = [server]
        self.register_outputs({"addresses": [endpoint.authority for endpoint in self.endpoints]})


def _configuration_mount(config_map: pulumi.Input[str], quorum: pulumi.Input[str]) -> Mount:
    """Both ConfigMaps in one directory, where a change of either becomes visible while the pod runs."""
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "config",
        "projected": {
            "default_mode": 0o444,
            "sources": [
                {"config_map": {"name": config_map, "items": [{"key": CONFIG, "path": CONFIG}]}},
                {"config_map": {"name": quorum, "items": [{"key": QUORUM, "path": f"config.d/{QUORUM}"}]}},
            ],
        },
    }
    return Mount(volume=volume, path=CONFIG_PATH, read_only=True)


def _refusal() -> pulumi.ResourceHookBinding:
    """Before the quorum's servers change, in a preview too: the engine alone knows how many there were."""
    hook = pulumi.ResourceHook(
        "keeper-quorum-never-shrinks", refuse_to_shrink, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceHookBinding(before_update=[hook])


def refuse_to_shrink(args: pulumi.ResourceHookArgs) -> None:
    """Refuse fewer Keepers than there are.

    The StatefulSet would stop two of three before these have left the quorum. What is left waits for them for ever: it
    goes by the servers that its log names, not by those in its files (ClickHouse issue 37434).

    Raises:
        pulumi.RunError: naming both numbers and what to do.
    """
    before, after = _servers(args.old_inputs), _servers(args.new_inputs)
    if after < before:
        raise pulumi.RunError(
            f"langfuse:clickhouse.keepers: {after} is less than the {before} that there are, and what is left would "
            f"find no majority: every table would become read-only; set it to {before} "
            "(docs/runbooks/clickhouse-replicas.md)"
        )


def _servers(inputs: Mapping[str, Any] | None) -> int:
    return len(ElementTree.fromstring((inputs or {})["data"][QUORUM]).findall(".//server"))  # noqa: S314  # our own


def raft_configuration(hosts: Sequence[str]) -> str:
    """cluster.xml of Keeper: every server of the quorum.

    All but the first wait to be found by a leader. Otherwise two that are added to a single one would elect each other
    with empty logs, and overwrite its own (ClickHouse issue 62505). The price: should the second and the third start
    again at the same time, the first has to be there.
    """
    servers: list[Mapping[str, Value]] = [
        {
            "id": number,
            "hostname": host,
            "port": RAFT_PORT,
            **({"start_as_follower": "true"} if number > FIRST_ID else {}),
        }
        for number, host in enumerate(hosts, start=FIRST_ID)
    ]
    return document("clickhouse", {"keeper_server": {"raft_configuration": {"server": servers}}})
