"""The contract of stores: the questions that every mode of every store answers.

Everything else only puts the answers together: network policies and mesh rules the connections, the quota and the
sizing command the requests, the credentials component the credentials, and so on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import pulumi
from pydantic import JsonValue

from components.kubernetes.installation import Installation
from components.kubernetes.objects import child_options
from components.kubernetes.variables import SecretRef
from components.schema.base import Model
from components.schema.environment import Settings
from components.schema.requests import Pods
from components.stores.connections import ObjectStoreConnection

SettingsT = TypeVar("SettingsT", bound=Model)
ConnectionT = TypeVar("ConnectionT")

Refs = Mapping[str, SecretRef]
"""Where pods read a credential, by its id in `components/credentials/registry.py`."""

Checksums = Callable[[Collection[str]], Mapping[str, pulumi.Input[str]]]
"""Pod annotations with the checksums of Secrets, given by their names: a new value restarts the pods."""

APPLICATION = ("web", "worker")
"""Workloads of the application that stay."""

SERVERS = (*APPLICATION, "first-start")
"""Workloads that run a server of the application."""

OFF_SITE_COPY = "backup-off-site"
"""The workload that copies backups and media to a second object store."""

CERTIFICATES_PATH = "/etc/langfuse/certificates"
"""Where every container that connects to a store finds its CA bundle."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections that workloads open to one workload of the installation, or to an external store."""

    purpose: str
    """The store, for example `redis`. Rules for an external store are named after it."""
    server: str | None
    """The workload that accepts them; None for an external store."""
    ports: Sequence[int]
    clients: Sequence[str]
    """Workloads by name."""
    operated_clients: bool = False
    """Whether the pods of the Postgres operator (`Operator`) connect as well."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Pods that an operator creates, and the operator that connects to them.

    They have the operator's labels and are outside the mesh.
    """

    selector: Mapping[str, str]
    """Labels that select the pods."""
    namespace: str
    """Where the operator runs."""
    name: str
    """The store, for the names of rules."""
    port: int
    """Where clients and the pods themselves connect."""
    status_port: int
    """Where the operator queries the state of each pod."""
    clients: Sequence[str]
    """Workloads by name."""


@dataclass(frozen=True, kw_only=True)
class StoreContext:
    """What a mode needs to create its resources."""

    refs: Refs
    checksums: Checksums
    object_store: ObjectStoreConnection
    """For databases that archive or back up to it."""


class StoreMode(ABC, Generic[SettingsT, ConnectionT]):
    """One way to run a store. All answers follow from the settings alone, so they are known before anything exists."""

    name: str
    """The store: `postgres`, `clickhouse`, `redis` or `object-store`."""

    def __init__(self, settings: Settings, own: SettingsT) -> None:
        """Answers for a configuration.

        Args:
            settings: The settings of the installation.
            own: The part of them that configures this store.
        """
        self.settings = settings
        self.own = own
        self.installation = Installation.of(settings)

    @abstractmethod
    def connection(self, refs: Refs) -> ConnectionT:
        """How clients connect to it."""

    @abstractmethod
    def flows(self) -> Sequence[Flow]:
        """Who connects to it on which ports."""

    @abstractmethod
    def credentials(self) -> Collection[str]:
        """The ids of the credentials that it and its clients need."""

    @property
    @abstractmethod
    def backed_up_by(self) -> Literal["job", "provider"] | None:
        """A Job of this stack, the provider of an external store, or None if its data is not worth a backup."""

    @property
    @abstractmethod
    def version(self) -> str | None:
        """Its release; None if the configuration of an external store does not state it."""

    def pods(self) -> Sequence[Pods]:
        """What it requests of the cluster."""
        return ()

    @property
    def ca(self) -> str | None:
        """The CA bundle that verifies the certificates of its servers, PEM; None for the CAs of the system."""
        return None

    @property
    def ca_path(self) -> str | None:
        """Where containers find its CA bundle."""
        return f"{CERTIFICATES_PATH}/{self.name}.pem" if self.ca else None

    @property
    def operator(self) -> Operator | None:
        """The pods of an operator, if one runs the store."""
        return None

    def visible(self) -> Mapping[str, object]:
        """Inputs of its component, which policies see."""
        return self.own.model_dump()

    @abstractmethod
    def outputs(self, connection: ConnectionT) -> Mapping[str, JsonValue]:
        """Outputs of its component, which policies on the whole stack see."""

    def create(self, context: StoreContext, opts: pulumi.ResourceOptions) -> Sequence[pulumi.Resource]:
        """Creates its resources.

        Args:
            context: Credentials and the object store.
            opts: Options of the resources: children of the store's component.

        Returns:
            What clients wait for before they connect.
        """
        return ()


class Store(pulumi.ComponentResource, Generic[ConnectionT]):
    """The component of a store, with the resources that its mode creates."""

    connection: ConnectionT
    ready: Sequence[pulumi.Resource]
    """What clients wait for before they connect."""

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
