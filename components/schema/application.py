"""The application: where it is reached, how it runs, and what it does with what it is sent."""

from typing import Literal

from pydantic import Field

from components.schema.base import Model, Resources
from components.schema.values import (
    BucketName,
    DnsLabel,
    DnsRange,
    Email,
    GatewayName,
    Host,
    HttpUrl,
    NetworkRange,
    Port,
    Schedule,
    SecretName,
)


class Cluster(Model):
    """Which cluster the stack lives in."""

    context: str | None = Field(default=None, description="kubeconfig context; the current one if not given.")
    kubeconfig: str | None = Field(default=None, description="Path of the kubeconfig; KUBECONFIG if not given.")
    storage_class: Host | None = Field(
        default=None,
        description="StorageClass of new volumes: for production one that encrypts, grows and retains. The cluster's "
        "default if not given. Volumes that are there keep theirs.",
    )


class Ingress(Model):
    """How people and SDKs reach the installation."""

    kind: Literal["istio", "none"] = Field(description="`istio`: a VirtualService; `none`: only Services.")
    gateway: GatewayName = Field(description="The Istio Gateway that carries the host, as `namespace/name`.")
    tls: bool = Field(description="Whether the public URL is https.")
    bucket_host: Host | None = Field(
        default=None,
        description="Host of its own for files in MinIO: signed links carry it, and the Gateway has to serve it too; "
        "`host` if not given. Files can't be attached to dataset items in the UI then (docs/public-routes.md).",
    )


class Dns(Model):
    """The cluster's DNS servers: pods may connect to them and to no others."""

    namespaces: list[DnsLabel] = Field(
        default=["kube-system"], description="Namespaces of DNS servers; `openshift-dns` on OpenShift."
    )
    ranges: list[DnsRange] = Field(
        default=["169.254.20.10/32"],
        description="Addresses of DNS servers. The default is that of NodeLocal DNSCache. If pods use it at the "
        "address of the Service `kube-dns` (kube-proxy with iptables), add that address, as `10.96.0.10/32`.",
    )
    port: Port = Field(default=53, description="Their port, TCP and UDP; 5353 on OpenShift.")


class Network(Model):
    """Which pods outside the namespace may come in, and what may be called outside the cluster."""

    web_clients: list[DnsLabel] = Field(
        description="Namespaces whose pods may call web and the object store: the gateway's, and those of SDK clients."
    )
    dns: Dns = Dns()
    internet: list[NetworkRange] = Field(
        default=["0.0.0.0/0"],
        description="Ranges that web and worker may call at ports 443, 465 and 587: model providers, sign-in, mail. "
        "Never link-local addresses, where clouds hand out credentials.",
    )


class Application(Model):
    """Settings that web and worker share."""

    log_level: Literal["trace", "debug", "info", "warn", "error", "fatal"] = Field(description="Least level logged.")
    log_format: Literal["text", "json"] = Field(
        description="How log lines are written: `json` for log collectors, one object for each line."
    )
    telemetry: bool = Field(description="Whether usage statistics go to the makers of Langfuse.")


class Ingestion(Model):
    """What Langfuse 4 does with events: it only writes its own tables, or those of version 3 too.

    Without values, each version's own defaults hold. Going back from `events_only` loses what older SDKs sent.
    """

    write_mode: Literal["legacy", "dual", "events_only"] | None = Field(
        default=None, description="Tables that are written: of version 3, of both, of version 4."
    )
    otel_behaviour: Literal["dual_write", "direct"] | None = Field(
        default=None, description="Where OpenTelemetry spans go: to both sets of tables, or straight to the new ones."
    )
    preview_opt_in: bool | None = Field(default=None, description="Whether users may switch to the new views.")
    historic_backfill: bool | None = Field(
        default=None,
        description="Whether old rows are copied into the new tables: once, and only after `dual` is live.",
    )


class Autoscaling(Model):
    """Bounds between which the number of pods follows their CPU use."""

    min_replicas: int = Field(ge=1, le=100, description="Fewest pods.")
    max_replicas: int = Field(ge=1, le=100, description="Most pods.")
    cpu_percent: int = Field(
        default=50, ge=10, le=95, description="CPU use that is aimed at, in percent of the request."
    )


class Workload(Model):
    """A Deployment of the application."""

    replicas: int = Field(ge=1, le=100, description="Number of pods, unless `autoscaling` is given.")
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Bounds for a number of pods that follows the load. Before you remove it, set both to `replicas`: "
        "the autoscaler acts until the end of the update.",
    )
    resources: Resources = Field(description="For each pod. Node's heap is three quarters of the memory.")


class Worker(Workload):
    """The Deployment that takes jobs from the queues."""

    concurrency: int = Field(
        default=20,
        ge=1,
        le=500,
        description="Jobs of the ingestion queue that a pod works on at a time: scores, and traces that arrive by the "
        "legacy batch API.",
    )
    otel_concurrency: int = Field(
        default=5,
        ge=1,
        le=500,
        description="Jobs of the OpenTelemetry queue that a pod works on at a time: traces of current SDKs.",
    )
    termination_grace_period_seconds: int = Field(
        default=330,
        ge=30,
        le=3600,
        description="Seconds between SIGTERM and SIGKILL. Jobs that are not finished by then run again elsewhere. "
        "Langfuse's worker may not end by itself (langfuse#8156): then a pod that is replaced stays that long.",
    )


class OffSite(Model):
    """An object store at another place, with another owner of its keys: what is there isn't lost with the first."""

    endpoint: HttpUrl = Field(description="URL of the store; of AWS as `https://s3.eu-west-1.amazonaws.com`.")
    bucket: BucketName = Field(
        description="Bucket that is there already. Its own rules say what expires: never what is copied from media."
    )
    secret: SecretName = Field(
        description="Secret in the namespace with `ACCESS_KEY_ID` and `SECRET_ACCESS_KEY`, which list, read and write."
    )
    schedule: Schedule = Field(default="15 5 * * *", description="When new objects are copied: cron, UTC.")


class Backups(Model):
    """Backups into the backups bucket."""

    postgres_schedule: Schedule = Field(description="When Postgres is dumped: cron, UTC.")
    clickhouse_schedule: Schedule = Field(description="When ClickHouse is backed up: cron, UTC.")
    retention_days: int = Field(ge=1, description="Days that a backup is kept.")
    off_site: OffSite | None = Field(
        default=None, description="Another object store that backups and media are copied to; nothing is deleted there."
    )


class FirstStart(Model):
    """What exists after the first start. Later changes of names are not applied by Langfuse (web/src/initialize.ts)."""

    organization: str = Field(min_length=1, description="Name of the first organization.")
    project: str = Field(min_length=1, description="Name of the first project.")
    project_retention_days: int | None = Field(
        default=None, ge=3, description="Days that the project keeps its data; needs a licence."
    )
    owner_email: Email = Field(description="E-mail of the first user, its owner.")
    owner_name: str = Field(min_length=1, description="Name of the first user.")
