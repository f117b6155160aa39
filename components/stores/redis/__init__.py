"""Redis: a single Valkey, three with Sentinels, or an external server."""
