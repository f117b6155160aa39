"""The releases of Langfuse whose environment variables the tests compare with those that the program sets."""

from typing import Final

VERSIONS: Final = ("3.225.4", "3.225.9", "4.16.0", "4.82.0")
"""Of each major version the release that is listed in `components/application/data/`, and a later one."""
