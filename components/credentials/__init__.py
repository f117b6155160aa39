"""The credentials of an installation: their formats, their sources and the Secrets that hold them."""
