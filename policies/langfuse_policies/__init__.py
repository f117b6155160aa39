"""Rules for Kubernetes and Langfuse, for Pulumi's policy packs."""
