"""What a report may contain of a resource: names, never values.

Policies receive secrets in plain text, and can't know which values are secret. So findings contain paths. The names in
a path (of containers, variables, keys) are user input too: they are shown when they look like a name and not
like a secret.
"""

import math
import re
from collections import Counter
from functools import lru_cache

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,127}$")
_WORD = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+|\d+")
_RANDOM_LENGTH = 16  # shorter strings of letters and digits are often words
_LONGEST_WORD = 20
_RANDOM_DIGITS = 4
_RANDOM_BITS = 3.0  # per character

HIDDEN = "(hidden)"


@lru_cache(4096)  # the same few hundred keys, for every field that a policy reads
def shown(name: str) -> str:
    """A name for a report: `(hidden)` when it does not look like a name or looks random."""
    if not _NAME.match(name) or looks_random(name):
        return HIDDEN
    return name


def looks_random(text: str) -> bool:
    """Whether a part of it looks like a key or a password: long, with letters and digits or mixed case."""
    return any(_random(part) for part in re.split(r"[^A-Za-z0-9+=]+", text))


def _random(part: str) -> bool:
    if len(part) < _RANDOM_LENGTH:
        return False
    runs = _WORD.findall(part)
    digits = sum(character.isdigit() for character in part)
    if digits and len(runs) > len(part) / 4:
        return True
    if digits >= _RANDOM_DIGITS and entropy(part) > _RANDOM_BITS:
        return True
    return max(map(len, runs), default=0) > _LONGEST_WORD


def entropy(text: str) -> float:
    """Shannon's entropy in bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values()) if text else 0.0
