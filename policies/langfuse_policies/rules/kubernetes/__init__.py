"""Policies for every stack on Kubernetes."""
