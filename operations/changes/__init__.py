"""The report on an update: read from the events of the engine, judged, and written as Markdown."""
