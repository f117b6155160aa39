"""Pulumi plugins in Python that speak the engine's gRPC protocol, for where the official ones can't be downloaded."""
