"""Container images: the only place that has the versions of what the stack runs.

Tags are exact releases. A floating tag can bring a database schema that the next restart cannot read (langfuse-k8s
issue 109).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image and the numeric user that it runs as."""

    repository: str
    tag: str
    uid: int
    """User and group id. It is numeric because `runAsNonRoot` cannot check a user name."""

    @property
    def reference(self) -> str:
        """`repository:tag`, as in the specification of a pod."""
        return f"{self.repository}:{self.tag}"


# Users: the images of Postgres and Valkey create 999, those of ClickHouse 101, and those of the exporters have the
# following ones (their Dockerfiles). MinIO's and rclone's run as any.
POSTGRES = Image(repository="docker.io/library/postgres", tag="17.10", uid=999)
NEWEST_POSTGRES = "18.4"
"""For an external server without a configured release: the clients of this release can read every older server."""
CLICKHOUSE = Image(repository="docker.io/clickhouse/clickhouse-server", tag="26.4.5.143", uid=101)
CLICKHOUSE_KEEPER = Image(repository="docker.io/clickhouse/clickhouse-keeper", tag=CLICKHOUSE.tag, uid=101)
VALKEY = Image(repository="docker.io/valkey/valkey", tag="8.1.10", uid=999)
MINIO = Image(repository="quay.io/minio/minio", tag="RELEASE.2025-09-07T16-13-09Z", uid=1000)
RCLONE = Image(repository="docker.io/rclone/rclone", tag="1.76.0", uid=1000)
OAUTH2_PROXY = Image(repository="quay.io/oauth2-proxy/oauth2-proxy", tag="v7.15.6", uid=65532)
STATSD_EXPORTER = Image(repository="quay.io/prometheus/statsd-exporter", tag="v0.31.0", uid=65534)
REDIS_EXPORTER = Image(repository="quay.io/oliver006/redis_exporter", tag="v1.88.0", uid=59000)
POSTGRES_EXPORTER = Image(repository="quay.io/prometheuscommunity/postgres-exporter", tag="v0.20.1", uid=65534)
MINIO_CLIENT = Image(repository="quay.io/minio/mc", tag="RELEASE.2025-08-13T08-35-41Z", uid=1000)

DEFAULT_VERSION = "4.82.0"
"""The default of `langfuse:version`: the oldest release of version 4 without a published vulnerability
(CVE-2026-134835)."""


def postgres(version: str) -> Image:
    """The Postgres image of a release."""
    return replace(POSTGRES, tag=version)


def clickhouse(version: str) -> Image:
    """The ClickHouse image of a release, which contains the server and the client."""
    return replace(CLICKHOUSE, tag=version)


def valkey(version: str) -> Image:
    """The Valkey image of a release."""
    return replace(VALKEY, tag=version)


def cloudnative_pg(version: str) -> str:
    """The CloudNativePG image of a Postgres release (github.com/cloudnative-pg/postgres-containers).

    The operator runs its pods as user 26, which exists in these images.
    """
    return f"ghcr.io/cloudnative-pg/postgresql:{version}-minimal-trixie"


def web(version: str) -> Image:
    """The Langfuse web image of a release (`nextjs`, uid 1001: web/Dockerfile)."""
    return Image(repository="docker.io/langfuse/langfuse", tag=version, uid=1001)


def worker(version: str) -> Image:
    """The Langfuse worker image of a release (`expressjs`, uid 1001: worker/Dockerfile)."""
    return Image(repository="docker.io/langfuse/langfuse-worker", tag=version, uid=1001)
