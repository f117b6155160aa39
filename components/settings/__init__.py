"""Turns a stack file into validated settings: defaults, checks and warnings."""
