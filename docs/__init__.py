"""Documentation, and the programs that generate the parts of it that must not drift."""
