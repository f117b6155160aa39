"""Generated configuration files of the servers: the members of the cluster, and the backup bucket. Pure functions."""

from collections.abc import Mapping, Sequence

from components.stores.clickhouse.files import FromEnv, Value, document
from components.stores.connections import Endpoint, ObjectStoreConnection

NATIVE_PORT = 9000


def cluster_configuration(replicas: Sequence[str], keepers: Sequence[Endpoint]) -> str:
    """cluster.xml: the replicas of the only shard, and the Keepers.

    With a secret, replicas run each other's queries as the user who sent them.
    """
    return document(
        "clickhouse",
        {
            "remote_servers": {
                "default": {
                    "secret": FromEnv(variable="INTERSERVER_PASSWORD"),
                    "shard": {
                        "internal_replication": "true",
                        "replica": [{"host": host, "port": NATIVE_PORT} for host in replicas],
                    },
                }
            },
            "zookeeper": {"node": [{"host": keeper.host, "port": keeper.port} for keeper in keepers]},
        },
    )


def backups_configuration(store: ObjectStoreConnection) -> str:
    """backups.xml: the named collection of backups, so that no key appears in SQL or in query_log.

    Without keys, the server uses the identity that the cloud provides in its environment.
    """
    url = FromEnv(variable="BACKUPS_URL")
    keys: dict[str, Value] = {}
    if store.identity is None:
        keys = {
            "access_key_id": FromEnv(variable="BACKUPS_ACCESS_KEY_ID"),
            "secret_access_key": FromEnv(variable="BACKUPS_SECRET_ACCESS_KEY"),
        }
    server: Mapping[str, Value] = {
        "endpoint": url,
        "region": store.region,
        "use_environment_credentials": "false" if keys else "true",
    }
    return document("clickhouse", {"named_collections": {"backups": {"url": url, **keys}}, "s3": {"backups": server}})
