"""ClickHouse Keeper: coordinates the replicas of ClickHouse and its ON CLUSTER statements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pulumi
import pulumi_kubernetes as k8s

from components.kubernetes.files import read_config
from components.kubernetes.installation import Installation
from components.kubernetes.objects import Scope, child_options, config_map, service, service_account
from components.kubernetes.pods import TMP, Container, Mount, container, http_probe, pod, tcp_probe
from components.kubernetes.stateful_sets import VOLUME, stateful_set, volume_claims
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
"""Ordinals start here, so that the ordinal of a pod is its server id. The default configuration counts from 1."""

GRACE_SECONDS = 60


PORTS: Mapping[str, int] = {"tcp-keeper": CLIENT_PORT, "tcp-raft": RAFT_PORT}


class Keeper(pulumi.ComponentResource):
    """A quorum of Keepers. They start in parallel, because none is ready before a majority has met.

    A rollout replaces one at a time and continues when it follows or leads again, so the others keep the majority. The
    members of the quorum are in a ConfigMap of its own that changes in place: Keeper watches its files while it runs,
    and the leader adds members without a restart, as in ClickHouse's operator
    (github.com/ClickHouse/clickhouse-operator, internal/controller/keeper). There is no way back from three to one.
    """

    endpoints: Sequence[Endpoint]
    quorum: pulumi.Resource
    """Its members. If fewer are refused, whatever depends on it keeps the former ones."""
    ready: Sequence[pulumi.Resource]

    def __init__(
        self, name: str, installation: Installation, settings: ManagedClickHouse, opts: pulumi.ResourceOptions
    ) -> None:
        visible = {
            "version": settings.version,
            "replicas": settings.keepers,
            "storage": settings.keeper_storage,
            "resources": settings.keeper_resources.model_dump(),
        }
        super().__init__("langfuse:index:Keeper", name, visible, opts)
        image = replace(images.CLICKHOUSE_KEEPER, tag=settings.version)
        workload = installation.workload("keeper", component="coordination", version=image.tag)
        scope = Scope(workload, child_options(self, opts))
        account = service_account(scope)
        governing = service(scope, PORTS, headless=True)
        hosts = workload.host_names(settings.keepers, first=FIRST_ID)
        volumes = volume_claims(scope, workload.pod_names(settings.keepers, first=FIRST_ID), settings.keeper_storage)
        self.quorum = quorum = _quorum(scope, hosts)
        mounts = [
            Mount.template(VOLUME, "/var/lib/clickhouse-keeper"),
            _configuration_mount(config_map(scope, "config", {CONFIG: read_config(FILES / "keeper.xml")}), quorum),
            TMP,
        ]
        template = pod(
            workload,
            [_server(settings, mounts)],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
        )
        self.endpoints = [Endpoint(host=host, port=CLIENT_PORT) for host in hosts]
        self.ready = [stateful_set(scope, template, governing=governing, volumes=volumes)]
        self.register_outputs({"addresses": [endpoint.authority for endpoint in self.endpoints]})


def _quorum(scope: Scope, hosts: Sequence[str]) -> k8s.core.v1.ConfigMap:
    name = f"{scope.workload.resource_name}-quorum"
    return k8s.core.v1.ConfigMap(
        name,
        metadata=scope.workload.metadata(name),
        data={QUORUM: raft_configuration(hosts)},
        opts=scope.options(pulumi.ResourceOptions(hooks=_never_shrinks())),
    )


def _server(settings: ManagedClickHouse, mounts: Sequence[Mount]) -> Container:
    return container(
        "keeper",
        replace(images.CLICKHOUSE_KEEPER, tag=settings.version),
        command=["clickhouse-keeper", f"--config-file={CONFIG_PATH}/{CONFIG}"],
        resources=settings.keeper_resources,
        mounts=mounts,
        env={
            "KEEPER_ID": PodField(path="metadata.labels['apps.kubernetes.io/pod-index']"),
            "CLICKHOUSE_WATCHDOG_ENABLE": "0",
            "TZ": "UTC",
        },
        ports={**PORTS, "http-control": CONTROL_PORT, "http-metrics": METRICS_PORT},
        startup=tcp_probe(CLIENT_PORT, period=5, failures=60),
        readiness=http_probe("/ready", CONTROL_PORT, period=10, failures=3),
        liveness=tcp_probe(CLIENT_PORT, period=20, failures=6),
    )


def _configuration_mount(main: k8s.core.v1.ConfigMap, quorum: k8s.core.v1.ConfigMap) -> Mount:
    """Both ConfigMaps in one directory. Changes of either reach the running pod."""
    volume: k8s.core.v1.VolumeArgsDict = {
        "name": "config",
        "projected": {
            "default_mode": 0o444,
            "sources": [
                {"config_map": {"name": main.metadata.name, "items": [{"key": CONFIG, "path": CONFIG}]}},
                {
                    "config_map": {
                        "name": quorum.metadata.name,
                        "items": [{"key": QUORUM, "path": f"config.d/{QUORUM}"}],
                    }
                },
            ],
        },
    }
    return Mount(volume=volume, path=CONFIG_PATH, read_only=True)


def _never_shrinks() -> pulumi.ResourceHookBinding:
    """A hook that runs before the quorum changes, also in previews. Only the engine knows the former number."""
    hook = pulumi.ResourceHook(
        "keeper-quorum-never-shrinks", refuse_to_shrink, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceHookBinding(before_update=[hook])


def refuse_to_shrink(args: pulumi.ResourceHookArgs) -> None:
    """Refuses fewer Keepers than the quorum has.

    The StatefulSet would stop two of three before they have left the quorum. The last one would wait for them forever,
    because the members in its log count, not those in its files (ClickHouse issue 37434).

    Raises:
        pulumi.RunError: With both numbers and what to do.
    """
    before, after = _servers(args.old_inputs), _servers(args.new_inputs)
    if after < before:
        raise pulumi.RunError(
            f"langfuse:clickhouse.keepers: {after} is less than the {before} that run now; the remaining Keepers would "
            f"have no majority, and every table would become read-only; set it to {before} "
            "(docs/runbooks/clickhouse-replicas.md)"
        )


def _servers(inputs: Mapping[str, Any] | None) -> int:
    return len(ElementTree.fromstring((inputs or {})["data"][QUORUM]).findall(".//server"))  # noqa: S314  # our own


def raft_configuration(hosts: Sequence[str]) -> str:
    """cluster.xml of Keeper: the members of the quorum.

    All but the first wait for a leader to contact them. Otherwise two members that are added to a single one would
    elect each other with empty logs, and overwrite its log (ClickHouse issue 62505). In return, if the second and the
    third restart at the same time, the first must be running.
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
