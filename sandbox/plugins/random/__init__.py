"""The random provider: values from the system's cryptographic source, kept in state until an input changes."""
