"""Monitoring: exporters, what Prometheus reads, alerts and dashboards."""
