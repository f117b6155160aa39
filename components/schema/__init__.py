"""The models of a stack's configuration: frozen pydantic models, one file for each part."""
