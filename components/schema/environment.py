"""The complete configuration of one environment."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from components.schema.application import (
    Application,
    Backups,
    FirstStart,
    Ingestion,
    Network,
    Phase,
)
from components.schema.base import Model
from components.schema.clients import Client, ClientName
from components.schema.cluster import Cluster
from components.schema.credentials import Credentials
from components.schema.extensions import ExtraVariable, Patch
from components.schema.image_settings import Images
from components.schema.ingress import Ingress
from components.schema.mesh import Mesh
from components.schema.monitoring import Monitoring
from components.schema.sign_in import License, Mail, SignIn
from components.schema.stores import ClickHouse, ObjectStore, Postgres, Redis
from components.schema.targets import AllowedTargets
from components.schema.values import DnsLabel, Host, InstanceName, NamespaceName, Version
from components.schema.workloads import Web, Worker, Workload

PROJECT = "langfuse"
"""The name of the Pulumi project: the prefix of configuration keys and of the installation's name."""

V4 = 4
"""The major version of Langfuse whose tables of events replace those of traces and observations."""


def deployment_key(name: str) -> str:
    """The configuration key of a Deployment of `Settings.deployments`."""
    program, _, pool = name.partition("-")
    if not pool:
        return program
    return f"worker.pools.{pool}" if program == "worker" else f"{program}.{pool}"


STACK = "pulumi:stack"
"""The input of `Settings.stack`. No configuration key can have this name: a stack file cannot set the stack."""


class Settings(Model):
    """One environment."""

    model_config = ConfigDict(validate_by_name=False)

    stack: str = Field(exclude=True, validation_alias=STACK, description="The Pulumi stack.")
    profile: Literal["dev", "staging", "prod", "preview"] = Field(
        description="The kind of environment: provides defaults."
    )
    scale: Literal["small", "medium", "large", "xlarge"] = Field(
        description="The size of the environment: provides replicas, resources and storage. Each can be set "
        "individually."
    )
    host: Host = Field(description="Public host name.")
    version: Version = Field(description="Release of Langfuse.")
    namespace: NamespaceName = Field(description="Kubernetes namespace. It must contain nothing but this environment.")
    instance: InstanceName = Field(
        description="Name of the installation: the prefix of its buckets and of its keys in Redis, and the id of the "
        "first organization. It cannot be changed. Set it if the stack's name makes no valid name, or to keep the name "
        "after `pulumi stack rename`."
    )
    create_namespace: bool = Field(
        default=True,
        description="Whether the stack creates the namespace. With `false` it must exist, and `pulumi destroy` keeps "
        "it.",
    )
    protect: bool = Field(description="Whether Pulumi refuses to delete resources that hold data.")
    owner: DnsLabel = Field(description="The team that owns the environment: the label `owner` of every object.")
    cluster: Cluster = Cluster()
    images: Images = Images()
    ingress: Ingress
    network: Network = Network()
    mesh: Mesh = Mesh()
    application: Application
    ingestion: Ingestion = Ingestion()
    web: Web
    worker: Worker
    postgres: Postgres
    clickhouse: ClickHouse
    redis: Redis
    object_store: ObjectStore
    backups: Backups
    first_start: FirstStart
    clients: dict[ClientName, Client] = Field(
        default={}, description="Applications that send traces, by name. Each gets a key pair of its own."
    )
    monitoring: Monitoring | None = None
    credentials: Credentials = Credentials()
    sign_in: SignIn
    mail: Mail | None = None
    license: License | None = None
    allowed_targets: AllowedTargets = AllowedTargets()
    extra_env: dict[str, ExtraVariable] = Field(
        default={}, description="Further environment variables of web and worker: a text, or a Secret and its key."
    )
    patches: list[Patch] = Field(
        default=[], description="Changes to individual objects for which there is no configuration key."
    )

    @property
    def organization_id(self) -> str:
        """The id of the first organization in Langfuse."""
        return self.instance

    @property
    def project_id(self) -> str:
        """The id of the first project in Langfuse. If it changed, the first API keys would move to a new project."""
        return f"{self.instance}-project"

    def project_name(self, id_: str) -> str:
        """The name with which a project is created in Langfuse."""
        named = [one.project.name for one in self.clients.values() if one.project and one.project.id == id_]
        return next((name for name in named if name), self.first_start.project if id_ == self.project_id else id_)

    @property
    def worker_deployments(self) -> Mapping[str, Worker]:
        """The Deployments of the worker by the names of their workloads: the first one, and its pools."""
        pools = {
            f"worker-{name}": pool.based_on(self.worker).model_copy(update={"pools": {}})
            for name, pool in self.worker.pools.items()
        }
        return {"worker": self.worker, **pools}

    @property
    def web_deployments(self) -> Mapping[str, Web]:
        """The Deployments of web by the names of their workloads: the first one, and that of the public API."""
        own = self.web.ingestion
        return {"web": self.web, **({"web-ingestion": own.based_on(self.web)} if own else {})}

    @property
    def api_host(self) -> str:
        """The Service that serves the public API."""
        return f"langfuse-{list(self.web_deployments)[-1]}"

    @property
    def deployments(self) -> Mapping[str, Workload]:
        """The Deployments of web and worker by the names of their workloads."""
        return {**self.web_deployments, **self.worker_deployments}

    def members(self, names: Iterable[str]) -> list[str]:
        """The names of workloads, with those of the further Deployments of `web` and `worker` after these."""
        all_of: Mapping[str, Iterable[str]] = {"web": self.web_deployments, "worker": self.worker_deployments}
        return [one for name in names for one in all_of.get(name, [name])]

    @property
    def client_namespaces(self) -> list[str]:
        """Namespaces whose pods can call web and files in MinIO."""
        own = [client.namespace for client in self.clients.values() if client.namespace]
        return list(dict.fromkeys([*self.network.web_clients, *own]))

    @property
    def public_url(self) -> str:
        """The origin (scheme and host) at which users and SDKs reach the installation."""
        return self.ingress.url(self.host)

    @property
    def bucket_url(self) -> str | None:
        """The origin at which browsers and SDKs reach managed buckets; None without a public route."""
        return self.ingress.files_url(self.host)

    @property
    def mesh_mode(self) -> Literal["ambient", "sidecar", "none"]:
        """The data plane of the mesh."""
        return self.mesh.mode or ("ambient" if self.ingress.joins_mesh else "none")

    @property
    def major(self) -> int:
        """The major version of Langfuse."""
        return int(self.version.split(".")[0])

    @property
    def phase(self) -> Phase:
        """The phase of the way to version 4 that is configured, or the default of the release."""
        return self.ingestion.phase or ("legacy" if self.major < V4 else "events_only")
