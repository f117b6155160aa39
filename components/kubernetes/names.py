"""Names of objects that contain a hash of their content, and names of ports."""

import hashlib
import json
from collections.abc import Mapping

HASH_DIGITS = 8
"""Digits of the hash in a name: enough to distinguish the few versions of one object's content."""


def content_name(base: str, content: Mapping[str, object]) -> str:
    """A name with a hash of the content: equal content always gets the same name."""
    text = json.dumps(content, sort_keys=True)
    return f"{base}-{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"


def protocol(port_name: str) -> str:
    """The protocol of a port, by the prefix of its name."""
    return "UDP" if port_name.startswith("udp-") else "TCP"


def base_name(name: str) -> str:
    """The part of a content-based name that stays when the content changes."""
    return name.rpartition("-")[0]
