"""A stand-in for Pulumi's Kubernetes provider, for machines where the official plugin can't be had.

It answers the engine as pulumi-resource-kubernetes does: server-side apply, dry-run previews, a detailed diff,
replacement on immutable fields, waiting until objects are ready. Every kind that the API server serves is supported;
Helm, Kustomize, YAML components, Patch and List kinds are refused.
"""
