"""Postgres: managed, by CloudNativePG, or external."""
