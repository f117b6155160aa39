"""What an update would do, for people who decide on it: read from the engine's events, judged, and told."""
