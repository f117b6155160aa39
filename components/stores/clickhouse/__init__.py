"""ClickHouse and its Keepers: managed or external."""
