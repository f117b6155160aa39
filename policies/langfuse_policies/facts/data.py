"""Which resources hold data, or values that nobody can make a second time.

The guard of previews uses the same table (`operations/changes/guard.py`).
"""

from typing import Final

from langfuse_policies.facts.resources import Resource

NAMESPACES: Final = ("core/Namespace",)

#: With a definition every object of its kind is deleted.
DEFINITIONS: Final = ("apiextensions.k8s.io/CustomResourceDefinition",)

VOLUMES: Final = ("core/PersistentVolumeClaim", "core/PersistentVolume")

STATEFUL_SET: Final = "apps/StatefulSet"

#: Custom resources whose operators run a store, and the store.
STORES: Final = {
    "postgresql.cnpg.io/Cluster": "postgres",
    "acid.zalan.do/postgresql": "postgres",
    "clickhouse.altinity.com/ClickHouseInstallation": "clickhouse",
    "clickhouse.altinity.com/ClickHouseKeeperInstallation": "keeper",
    "clickhouse.com/ClickHouseCluster": "clickhouse",
    "clickhouse.com/KeeperCluster": "keeper",
    "minio.min.io/Tenant": "object-store",
    "redis.redis.opstreelabs.in/Redis": "redis",
}

BUCKETS: Final = (
    "alicloud/Bucket",
    "aws-native/Bucket",
    "aws/Bucket",
    "aws/BucketV2",
    "azure-native/BlobContainer",
    "azure/Container",
    "cloudflare/R2Bucket",
    "digitalocean/SpacesBucket",
    "gcp/Bucket",
    "google-native/Bucket",
    "linode/ObjectStorageBucket",
    "minio/S3Bucket",
    "oci/Bucket",
    "pulumi-python/Bucket",
    "scaleway/Bucket",
    "scaleway/ObjectBucket",
)

CREDENTIALS: Final = (
    "random/RandomBytes",
    "random/RandomId",
    "random/RandomPassword",
    "random/RandomString",
    "random/RandomUuid",
    "random/RandomUuid4",
    "random/RandomUuid7",
    "tls/PrivateKey",
    "core/Secret",
    "external-secrets.io/ExternalSecret",
)

KINDS: Final = frozenset((*NAMESPACES, *DEFINITIONS, *VOLUMES, STATEFUL_SET, *STORES, *BUCKETS, *CREDENTIALS))

#: Certificates are renewed, tokens of service accounts are made by the cluster, and a client of Langfuse gets another
#: key pair when it has lost one.
RENEWABLE_SECRETS: Final = ("kubernetes.io/tls", "kubernetes.io/service-account-token", "langfuse.com/key-pair")


def holds_data(resource: Resource) -> bool:
    """Whether its deletion loses data. A patch owns some fields of an object: its deletion loses nothing."""
    if resource.partial or resource.kind not in KINDS:
        return False
    if resource.kind == STATEFUL_SET:
        claims = (volume["persistentVolumeClaim"] for volume in resource.at("spec.template.spec.volumes"))
        return resource.at("spec.volumeClaimTemplates").size > 0 or any(claim.present for claim in claims)
    secret_types = {"core/Secret": "type", "external-secrets.io/ExternalSecret": "spec.target.template.type"}
    path = secret_types.get(resource.kind)
    return path is None or not resource.at(path).equals(*RENEWABLE_SECRETS)
