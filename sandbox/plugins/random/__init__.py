"""The random provider: values from the system's random source, kept in state until an input changes."""
