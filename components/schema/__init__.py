"""The shape of a stack's configuration: frozen pydantic models, one file per part."""
