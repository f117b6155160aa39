"""Every credential: its format, its source and the Secret that holds it."""
