"""The contract of stores: the questions that every mode of every store answers.

A *mode* is one way to run a store, for example a managed server or a connection to an external one. It is a subclass of
`StoreMode`, in a file of its own. All other code only combines the answers: the network policies and the rules of the
mesh the flows, the quota and the sizing command the requests, the credentials component the credentials, and so on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import pulumi
from pydantic import JsonValue

from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.kubernetes.variables import SecretRef
from components.schema.base import Model
from components.schema.environment import Settings
from components.schema.requests import Pods
from components.stores.connections import Endpoint, ObjectStoreConnection

ConfigT = TypeVar("ConfigT", bound=Model)
ConnectionT = TypeVar("ConnectionT")

SecretRefs = Mapping[str, SecretRef]
"""The key of a Secret for each credential, by the id of the credential in `components/credentials/registry.py`."""

ChecksumAnnotations = Callable[[Collection[str]], Mapping[str, pulumi.Input[str]]]
"""Returns pod annotations with the checksums of Secrets, by their names: a new value restarts the pods."""

APPLICATION = ("web", "worker")
"""The long-lived workloads of the application."""

CLIENTS = "clients"
"""The workload that creates the key pairs of clients."""

REVOKE_KEY = "revoke-key"
"""The workload that deletes a key pair of a client."""

SERVERS = (*APPLICATION, "first-start", CLIENTS)
"""Workloads that run a server of the application."""

MIGRATIONS = "migrations"
"""The workload that checks all stores, and migrates the schemas of the databases."""

REPAIR = "repair-schema"
"""The workload that repairs a half-applied migration."""

SIGN_IN_PROXY = "oauth2-proxy"
"""The workload that asks for a sign-in in front of the UI."""

BEFORE_UPGRADE = "backup-before-upgrade"
"""The workload that takes a backup set before a release migrates."""

RETENTION = "retention"
"""The workload that removes old backup sets."""

VERIFICATION = "verify-backups"
"""The workload that reads backups back and compares them with their manifests."""

REPLAY = "replay-events"
"""The workload that queues raw events again after a restore."""

DRILL_POSTGRES = "drill-postgres"
"""The workload that restores a dump of Postgres into a server of its own."""

DRILL_CLICKHOUSE = "drill-clickhouse"
"""The workload that restores a backup of ClickHouse into a server of its own."""

DRILL_MEDIA = "drill-media"
"""The workload that looks for media in the second object store, and reads a sample of them."""

RESTORE_MEDIA = "restore-media"
"""The workload that copies media back from the second object store."""

RESTORE_POSTGRES = "restore-postgres"
"""The workload that restores Postgres from a backup set."""

RESTORE_CLICKHOUSE = "restore-clickhouse"
"""The workload that restores ClickHouse from a backup set."""

OFF_SITE_COPY = "backup-off-site"
"""The workload that copies backups and media to a second object store."""

FETCH_SET = "fetch-set"
"""The workload that copies a set from another object store into the buckets of this stack."""

EMPTY_REDIS = "empty-redis"
"""The workload that deletes what Redis has of the former installation, when another one takes its place."""

METRICS = "metrics"
"""The workload of the exporters, whose metrics Prometheus reads."""

OFF_SITE = (OFF_SITE_COPY, DRILL_MEDIA, RESTORE_MEDIA)
"""Workloads that connect to the second object store."""


def clients_of_copies(settings: Settings) -> Sequence[str]:
    """Workloads that connect to object stores with copies: its own second store, and that of another stack."""
    backups = settings.backups
    return [*(OFF_SITE if backups.off_site else ()), *([FETCH_SET] if backups.source else ())]


CERTIFICATES_PATH = "/etc/langfuse/certificates"
"""The directory of CA bundles in every container that connects to a store."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads open to one workload of the installation, or to addresses outside of it.

    All rules follow from it. An address that a container gets and the flow to it therefore come from the same place in
    the configuration; `tests/unit/network/test_addresses.py` compares them.
    """

    purpose: str
    """What it is for, for example `redis` or `sign-in`. Network policies for addresses outside are named after it."""
    clients: Sequence[str]
    """Names of the workloads that open the connections."""
    server: str | None = None
    """The workload that accepts the connections; None for addresses outside."""
    ports: Sequence[int] = ()
    """Ports of the workload, or of servers outside whose addresses are not known."""
    endpoints: Sequence[Endpoint] = ()
    """Addresses outside of the installation."""
    from_operator_pods: bool = False
    """Whether pods that an operator creates (`OperatorPods`) connect as well."""
    operators: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The labels of operators' own pods that connect as well, by their namespace."""
    protocol: Literal["TCP", "UDP"] = "TCP"
    """Protocol of the ports of a workload. The mesh knows TCP only."""


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """Metrics that Prometheus reads from every pod of a server."""

    server: str
    """The workload, or the name of an operator's pods."""
    port: int
    port_name: str
    """The name of the port in the pods, which a PodMonitor refers to."""
    paths: Sequence[str] = ("/metrics",)
    labels: Mapping[str, str] | None = None
    """Labels of pods that an operator creates; None for the pods of the workload."""


@dataclass(frozen=True, kw_only=True)
class OperatorPods:
    """Pods that an operator creates for a store. They have the operator's labels, and are outside the mesh."""

    name: str
    """The store. Network policies for the pods are named after it."""
    selector: Mapping[str, str]
    """Labels that select the pods."""
    port: int
    """The port where clients and the pods themselves connect."""
    clients: Sequence[str]
    """Names of the workloads that connect."""
    status_port: int
    """The port where the operator queries the state of each pod."""
    namespace: str
    """The namespace of the operator."""


@dataclass(frozen=True, kw_only=True)
class StoreContext:
    """What a mode needs from other components to create its resources."""

    refs: SecretRefs
    checksum_annotations: ChecksumAnnotations
    object_store: ObjectStoreConnection
    """For databases that archive or back up to it."""


class StoreMode(ABC, Generic[ConfigT, ConnectionT]):
    """One way to run a store.

    All answers follow from the settings alone, so they are known before any resource exists.
    """

    name: str
    """The store: `postgres`, `clickhouse`, `redis` or `object-store`."""

    def __init__(self, settings: Settings, config: ConfigT) -> None:
        """Creates a mode.

        Args:
            settings: The settings of the installation.
            config: The part of the settings that configures this store.
        """
        self.settings = settings
        self.config = config
        self.installation = Installation.of(settings)

    @abstractmethod
    def connection(self, refs: SecretRefs) -> ConnectionT:
        """How clients connect to the store."""

    @property
    def before_upgrade(self) -> Sequence[str]:
        """The workload that takes a set before an upgrade, if there is one."""
        return (BEFORE_UPGRADE,) if self.settings.backups.before_upgrade else ()

    @abstractmethod
    def flows(self) -> Sequence[Flow]:
        """Which workloads connect to which ports."""

    @abstractmethod
    def credentials(self) -> Collection[str]:
        """The ids of the credentials that the store and its clients need."""

    @property
    @abstractmethod
    def backed_up_by(self) -> Literal["job", "provider"] | None:
        """A Job of this stack, the provider of an external store, or None if the store needs no backup."""

    @property
    @abstractmethod
    def version(self) -> str | None:
        """The release of the store; None if the configuration of an external store does not state it."""

    @abstractmethod
    def outputs(self, connection: ConnectionT) -> Mapping[str, JsonValue]:
        """The outputs of the component. Policies that check the whole stack read them."""

    def pods(self) -> Sequence[Pods]:
        """The pods of the store with their requests; none for an external store."""
        return ()

    @property
    def is_managed(self) -> bool:
        """Whether this stack runs the store."""
        return bool(self.pods())

    @property
    def operator_pods(self) -> OperatorPods | None:
        """The pods that an operator creates, if an operator runs the store."""
        return None

    def scrapes(self) -> Sequence[Scrape]:
        """The metrics that the servers publish themselves; none for an external store."""
        return ()

    @property
    def exporter(self) -> Sequence[str]:
        """The workload of the exporters, which connects to the store, if there is one."""
        return (METRICS,) if self.settings.monitoring else ()

    @property
    def ca(self) -> str | None:
        """The CA bundle that verifies the server's certificate, in PEM; None to use the public CA certificates."""
        return None

    @property
    def ca_path(self) -> str | None:
        """The path of the CA bundle in containers; None without one."""
        return f"{CERTIFICATES_PATH}/{self.name}.pem" if self.ca else None

    def visible(self) -> Mapping[str, object]:
        """The inputs of the component, which policies see. They contain no secret."""
        return self.config.model_dump()

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """Creates the resources of the store; none for an external store.

        Args:
            context: Credentials and the object store.
            opts: Options of the resources, which are children of the store's component.

        Returns:
            The resources that clients wait for before they connect.
        """
        return ()

    def retire_credentials(self, context: StoreContext, opts: pulumi.ResourceOptions) -> None:
        """Creates what makes the servers refuse former credentials; nothing if they do so anyway.

        Args:
            context: Credentials and the object store.
            opts: Options of the resources. They depend on all clients, which use the current credentials.
        """


class Store(pulumi.ComponentResource, Generic[ConnectionT]):
    """The component of a store. Its children are the resources that the mode creates."""

    connection: ConnectionT
    """How clients connect to the store."""
    ready: Sequence[pulumi.Resource]
    """The resources that clients wait for before they connect."""

    def __init__(
        self,
        name: str,
        mode: StoreMode[Any, ConnectionT],
        context: StoreContext,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(f"langfuse:index:{type(self).__name__}", name, dict(mode.visible()), opts)
        self.connection = mode.connection(context.refs)
        self.ready = mode.create(context, child_options(self, opts))
        self.register_outputs(dict(mode.outputs(self.connection)))
