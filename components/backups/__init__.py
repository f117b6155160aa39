"""Backups of the databases, and copies of them in a second object store."""
