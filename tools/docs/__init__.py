"""Generators of the reference pages in `docs/`, of `stacks/schema.json` and of the README's picture."""
