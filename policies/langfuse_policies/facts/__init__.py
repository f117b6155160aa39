"""Facts: what resources state, read in one place for every policy."""
