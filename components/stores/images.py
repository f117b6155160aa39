"""The images that an environment runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.schema import images
from components.schema.environment import Settings
from components.schema.image_settings import key_of
from components.schema.stores import ManagedPostgres


def original_images(settings: Settings) -> Mapping[str, str]:
    """The name and tag of each original image that the pods of an environment run, by its key in `images.builds`.

    Jobs run the clients of external stores.
    """
    postgres, clickhouse, redis, store = (
        settings.postgres,
        settings.clickhouse,
        settings.redis,
        settings.object_store,
    )
    found = [
        images.web(settings.version).reference,
        images.worker(settings.version).reference,
        images.postgres(postgres.version or images.NEWEST_POSTGRES).reference,
        images.clickhouse(clickhouse.version or images.CLICKHOUSE.tag).reference,
        images.RCLONE.reference,
    ]
    if postgres.mode == "cloudnativepg":
        found.append(images.cloudnative_pg(postgres.version))
    if clickhouse.mode == "managed":
        found.append(replace(images.CLICKHOUSE_KEEPER, tag=clickhouse.version).reference)
    if redis.mode != "external":
        found.append(images.valkey(redis.version).reference)
    if store.mode == "managed":
        found += [replace(images.MINIO, tag=store.version).reference, images.MINIO_CLIENT.reference]
    if settings.ingress.sign_in_proxy:
        found.append(images.OAUTH2_PROXY.reference)
    if settings.monitoring:
        found += [images.STATSD_EXPORTER.reference, images.REDIS_EXPORTER.reference]
        found += [images.POSTGRES_EXPORTER.reference] if postgres.mode != "cloudnativepg" else []
    return {key_of(reference): reference for reference in found}


def all_images(settings: Settings) -> Sequence[str]:
    """The name and tag of each original image, also that of the release to which Postgres is being upgraded."""
    found, postgres = [*original_images(settings).values()], settings.postgres
    if isinstance(postgres, ManagedPostgres) and postgres.upgrade_to:
        found.append(images.postgres(postgres.upgrade_to).reference)
    return found


def running_images(settings: Settings) -> Mapping[str, str]:
    """The reference of each image that the pods of an environment run, by its key in `images.builds`."""
    return {key: settings.images.reference(original) for key, original in original_images(settings).items()}
