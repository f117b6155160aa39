"""Policies for Kubernetes and Langfuse, for packs of `pulumi_policy`."""
