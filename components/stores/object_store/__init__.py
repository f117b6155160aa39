"""The object store: MinIO or an external one, and its buckets."""
