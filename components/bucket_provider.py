"""Where states look for the bucket provider: Pulumi stores a dynamic provider by the name of its module."""

from components.stores.object_store.bucket_provider import BucketProvider

__all__ = ["BucketProvider"]
