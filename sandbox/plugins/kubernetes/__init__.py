"""A stand-in for Pulumi's Kubernetes provider, for machines without the official plugin.

It behaves as pulumi-resource-kubernetes does: server-side apply, dry-run previews, a detailed diff, replacement on
changes of immutable fields, waiting until objects are ready. It supports every kind that the API server serves, but not
Helm, Kustomize, YAML components, Patch and List kinds.
"""
