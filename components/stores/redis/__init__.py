"""Redis: one Valkey, Valkeys with Sentinels, or external."""
