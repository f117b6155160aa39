"""The application: its network, how it ingests events, and its backups."""

from typing import Literal

from pydantic import Field

from components.schema.base import Model
from components.schema.labels import LabelKey, LabelValue
from components.schema.values import (
    AgeRecipient,
    BucketName,
    ByteQuantity,
    DnsLabel,
    Email,
    Host,
    HttpUrl,
    NetworkRange,
    Pem,
    Port,
    ProxyException,
    Schedule,
    ScheduleOrNever,
    SecretName,
)

WorkloadName = Literal[
    "web",
    "worker",
    "first-start",
    "migrations",
    "backup-before-upgrade",
    "backup-clickhouse",
    "backup-off-site",
    "backup-postgres",
    "clickhouse",
    "clients",
    "drill-clickhouse",
    "drill-media",
    "drill-postgres",
    "empty-redis",
    "fetch-set",
    "keeper",
    "metrics",
    "object-store",
    "object-store-provisioning",
    "oauth2-proxy",
    "postgres",
    "redis",
    "repair-schema",
    "replay-events",
    "restore-clickhouse",
    "restore-media",
    "restore-postgres",
    "retention",
    "revoke-key",
    "verify-backups",
]
"""The value of the label `app.kubernetes.io/name` of the pods."""


class Egress(Model):
    """Connections to addresses that no other key of the configuration names."""

    name: DnsLabel = Field(description="Name of the rule. The network policy is called `langfuse-egress-NAME`.")
    workloads: list[WorkloadName] = Field(
        default=["web", "worker"], min_length=1, description="Workloads whose pods can connect."
    )
    ranges: list[NetworkRange] = Field(default=[], description="IP ranges.")
    namespace: DnsLabel | None = Field(default=None, description="Namespace of pods in this cluster.")
    labels: dict[LabelKey, LabelValue] = Field(
        default={}, description="Labels of the pods in `namespace`. Default: all of its pods."
    )
    ports: list[Port] = Field(
        min_length=1, max_length=16, description="Ports. For pods, these are the ports of the pods, not of a Service."
    )
    protocol: Literal["TCP", "UDP"] = Field(default="TCP", description="Protocol of the ports.")


class OutboundProxy(Model):
    """An HTTP proxy for calls to addresses outside of the cluster.

    Langfuse uses it for model providers and for sign-in. Copies of backups and oauth2-proxy use it too. The stores are
    always called directly, because Langfuse's client of object stores knows no proxy (langfuse#11269).
    """

    url: HttpUrl = Field(description="Its URL.")
    exceptions: list[ProxyException] = Field(
        default=[],
        description="Hosts, domains (`.example.com`) and IP ranges that are called directly. Names in the cluster, the "
        "stores and `allowedTargets` always are.",
    )


class Network(Model):
    """Which pods of other namespaces can connect, and what pods can call outside of the namespace.

    Addresses that other keys name get their rules from there: external stores, mail, sign-in, `allowedTargets`,
    `extraEnv`. For a host name, a rule can only list ports: it allows them at every address. For an IP address, it
    allows that address; for the name of a Service (`NAME.NAMESPACE.svc`), that namespace.
    """

    web_clients: list[DnsLabel] = Field(
        default=[],
        description="Namespaces whose pods can call web and files in MinIO, in addition to those of `clients`. What "
        "forwards requests from outside is allowed by `ingress.proxy`.",
    )
    internet: list[NetworkRange] = Field(
        default=["0.0.0.0/0", "::/0"],
        description="IP ranges that web and worker can call on ports 443, 465 and 587: model providers, webhooks. "
        "Addresses where clouds serve credentials are always denied.",
    )
    proxy: OutboundProxy | None = Field(
        default=None,
        description="An HTTP proxy for calls to addresses outside of the cluster. If nothing is called directly, also "
        "set `internet` to `[]`.",
    )
    ca: Pem | None = Field(
        default=None,
        description="CA certificates of private CAs, in PEM format: of the sign-in, of model providers and webhooks, "
        "of the stores, or of a proxy that opens TLS. Programs trust them in addition to the public ones.",
    )
    egress: list[Egress] = Field(
        default=[],
        examples=[
            [
                {
                    "name": "audit",
                    "workloads": ["worker"],
                    "ranges": ["203.0.113.0/24"],
                    "namespace": "monitoring",
                    "labels": {"app.kubernetes.io/name": "collector"},
                    "ports": [6514],
                    "protocol": "TCP",
                }
            ]
        ],
        description="Further connections that pods can open.",
    )


class Application(Model):
    """Settings that web and worker share."""

    log_level: Literal["trace", "debug", "info", "warn", "error", "fatal"] = Field(
        description="Minimum level of log messages."
    )
    log_format: Literal["text", "json"] = Field(
        description="Format of log lines. Use `json` for log collectors: one object on each line."
    )
    telemetry: bool = Field(description="Whether Langfuse sends usage statistics to its developers.")
    store_checks: Literal["refuse", "report"] = Field(
        default="refuse",
        description="What happens if a store can't do what Langfuse needs. `refuse` stops an update before it "
        "migrates; `report` only writes it to the log of the migration Job.",
    )


Phase = Literal["legacy", "dual", "backfill", "events_only"]
"""A phase of the way from version 3 of Langfuse to version 4 (docs/decisions/v4-phases.md)."""


class Ingestion(Model):
    """The phase of the way from version 3 of Langfuse to version 4: docs/runbooks/v3-to-v4.md.

    The migration Job reads from the databases how far the installation is, and refuses a phase that skips another one.
    """

    phase: Phase | None = Field(
        default=None,
        description="`legacy`: the tables of version 3 are written and shown; `dual`: the tables of both versions are "
        "written; `backfill`: as `dual`, and the rows of version 3 are copied into the tables of version 4; "
        "`events_only`: only the tables of version 4 are written and shown. Default: `events_only`, or `legacy` for "
        "releases of version 3.",
    )
    acknowledge_events_only: bool = Field(
        default=False,
        description="Must be `true` to change an installation with rows of version 3 to `events_only`. There is no way "
        "back. Clients that still use interfaces of version 3 lose what they send; the migration Job names them.",
    )


class ImportFrom(Model):
    """The object store with the off-site copies of another stack. This stack only reads it."""

    endpoint: HttpUrl = Field(
        description="URL of the store. For AWS, for example `https://s3.eu-west-1.amazonaws.com`."
    )
    bucket: BucketName = Field(description="The bucket that `offSite.bucket` of the other stack names.")
    region: str | None = Field(
        default=None, description="Its region. Default: the one that a URL of AWS names, or `us-east-1`."
    )
    secret: SecretName = Field(
        description="Secret in the namespace with `ACCESS_KEY_ID` and `SECRET_ACCESS_KEY`. The key must allow listing "
        "and reading, and should allow nothing else."
    )
    encrypted: bool = Field(
        default=False,
        description="Whether the other stack encrypts its copies (`offSite.recipients`). A restore then reads a "
        "private key from the Secret `langfuse-age-identity`.",
    )


class OffSite(Model):
    """A second object store in another location and with other credentials, so that it is not lost with the first."""

    endpoint: HttpUrl = Field(
        description="URL of the store. For AWS, for example `https://s3.eu-west-1.amazonaws.com`."
    )
    bucket: BucketName = Field(
        description="An existing bucket. Its own lifecycle rules decide what expires. Copies of media must never "
        "expire."
    )
    region: str | None = Field(
        default=None, description="Its region. Default: the one that a URL of AWS names, or `us-east-1`."
    )
    encryption: Literal["none", "AES256", "aws:kms"] = Field(
        default="none", description="Encryption at rest that is asked for with each object."
    )
    kms_key_id: str | None = Field(default=None, description="KMS key for `aws:kms`. Default: the key of the account.")
    recipients: list[AgeRecipient] = Field(
        default=[],
        max_length=20,
        description="Public keys of [age](https://age-encryption.org), such as `age-keygen` prints. Files are "
        "encrypted for them before they leave the cluster; manifests and lists, which have no data of users, are not. "
        "Keep the private keys outside of the cluster, in two places: without one, the copy is worthless. A restore "
        "reads one from the Secret `langfuse-age-identity`, which exists for that time only. To copy without "
        "encryption again, use another bucket.",
    )
    secret: SecretName = Field(
        description="Secret in the namespace with `ACCESS_KEY_ID` and `SECRET_ACCESS_KEY`. The key must allow listing, "
        "reading and writing."
    )
    schedule: Schedule = Field(
        default="15 5 * * *", description="When new objects are copied, as a cron schedule in UTC."
    )

    @property
    def encrypted(self) -> bool:
        """Whether files are encrypted before they leave the cluster."""
        return bool(self.recipients)


class Keep(Model):
    """Which backup sets are kept: the newest of each of the last days, weeks and months that have one.

    Days begin at 00:00 UTC and weeks on Monday. Sets of the last two days are kept as well, and so is every backup of
    ClickHouse that a kept set needs. Time alone removes nothing: the counts are of days, weeks and months with sets.
    """

    minimum: int = Field(
        default=3, ge=1, le=100, description="Number of newest sets that are kept in any case, if they can be restored."
    )
    daily: int = Field(default=7, ge=1, le=366, description="Number of days.")
    weekly: int = Field(default=4, ge=0, le=104, description="Number of weeks.")
    monthly: int = Field(default=6, ge=0, le=120, description="Number of months.")
    before_upgrade_days: int = Field(
        default=14,
        ge=0,
        le=366,
        description="Sets that were taken before an upgrade are kept until sets exist that are this many days newer.",
    )

    @property
    def days(self) -> int:
        """How far back sets reach, in days."""
        return max(self.daily, 7 * self.weekly, 28 * self.monthly)


class Providers(Model):
    """Who backs up the external stores that no Job of this stack backs up, in words for a reader."""

    clickhouse: str | None = Field(
        default=None,
        min_length=1,
        examples=["ClickHouse Cloud, daily, kept for 30 days; restore tested in March"],
        description="For an external ClickHouse.",
    )
    object_store: str | None = Field(
        default=None,
        min_length=1,
        examples=["replicated to another region, versions kept for 30 days"],
        description="For the media in an external object store without `offSite`.",
    )


class Backups(Model):
    """Backup sets in the bucket `backups`."""

    postgres_schedule: Schedule = Field(
        description="When Postgres is dumped, as a cron schedule in UTC. Each dump becomes a set, together with the "
        "newest backup of ClickHouse that was finished before."
    )
    clickhouse_schedule: Schedule = Field(
        description="When ClickHouse is backed up, as a cron schedule in UTC. After six incremental backups, or a "
        "week, a full one follows."
    )
    before_upgrade: bool = Field(
        default=True,
        description="Whether a set is taken before a release of Langfuse migrates the databases. The update waits for "
        "it, and stops if it fails.",
    )
    keep: Keep = Field(default=Keep(), description="Which sets are kept.")
    prune_schedule: Schedule = Field(
        default="45 4 * * *", description="When sets that are not kept are removed, as a cron schedule in UTC."
    )
    verify_schedule: ScheduleOrNever = Field(
        default="30 7 * * 0",
        description="When the newest set is read back and compared with its manifest, as a cron schedule in UTC. "
        "`never`: only by hand.",
    )
    drill_schedule: ScheduleOrNever = Field(
        description="When the newest set is restored into servers that run in the pods of the drills, as a cron "
        "schedule in UTC. `never`: only by hand."
    )
    drill_storage_class: Host | None = Field(
        default=None,
        description="StorageClass of the volumes that take restored data, with the reclaim policy `Delete`. By "
        "default, they are directories on the nodes, which need as much free disk as the volumes of the stores have.",
    )
    drill_storage: ByteQuantity | None = Field(
        default=None,
        description="Size of the volume that takes the restored Postgres. Default: `postgres.storage`, and 20Gi for an "
        "external server.",
    )
    retention_days: int = Field(
        ge=1,
        description="Number of days for which the bucket keeps what is not part of sets: the archive of CloudNativePG, "
        "and backups of earlier releases of this program. In an external store without keys that delete "
        "(`credentials.values.objectStorePruneAccessKeyId`), a managed bucket keeps sets a week longer than this.",
    )
    providers: Providers = Field(
        default=Providers(), description="Who backs up external stores. A policy asks for it; nothing else reads it."
    )
    off_site: OffSite | None = Field(
        default=None,
        description="A second object store to which backups and media are copied. Nothing is deleted there.",
    )
    import_from: ImportFrom | None = Field(
        default=None,
        description="Where `operations restore --into` finds the sets of another stack, to move or to clone it.",
    )

    @property
    def source(self) -> ImportFrom | OffSite | None:
        """The store with sets that are not in the bucket of this stack: those of another stack, or its own copies."""
        return self.import_from or self.off_site


class FirstStart(Model):
    """What the first start creates. Langfuse does not apply later changes of the names (web/src/initialize.ts)."""

    organization: str = Field(min_length=1, description="Name of the first organization.")
    project: str = Field(min_length=1, description="Name of the first project.")
    project_retention_days: int | None = Field(
        default=None, ge=3, description="Number of days for which the project keeps its data. Requires `license`."
    )
    owner_email: Email = Field(description="E-mail of the first user, who owns the organization.")
    owner_name: str = Field(min_length=1, description="Name of the first user.")
