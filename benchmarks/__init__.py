"""Benchmarks: how long deployments take, compared with minimal programs. See `docs/benchmarks.md`."""
