"""The clients of a deployed stack: what exists of them, whether their traces arrive, and the end of their keys."""
