"""Benchmarks: how long deployments take, side by side with the least that could be done. See `docs/benchmarks.md`."""
