"""From the stack file to validated settings: defaults, checks, warnings."""
