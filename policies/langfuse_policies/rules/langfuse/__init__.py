"""Policies for Langfuse: they report nothing where it is not deployed."""
