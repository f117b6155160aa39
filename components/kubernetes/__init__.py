"""Builders of Kubernetes objects: restricted pods, workloads, Jobs, names and labels."""
