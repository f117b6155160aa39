"""The applications that send traces: their keys, variables and network policies, and lines for their operators."""
