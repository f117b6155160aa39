"""The policies, a file for each topic."""
