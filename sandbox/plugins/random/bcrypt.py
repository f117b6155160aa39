"""The bcrypt hash of a password, from `crypt` of the C library."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import secrets
import threading
from functools import cache
from typing import Final

COST_VARIABLE: Final = "BCRYPT_COST"
DEFAULT_COST: Final = "10"  # the official provider's: golang.org/x/crypto/bcrypt, DefaultCost
SALT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
SALT_LENGTH: Final = 22
LAST_SALT_CHARACTERS: Final = ".Oeu"  # 16 bytes fill 21 characters and two bits of the last one
MAX_BYTES: Final = 72  # bcrypt ignores the rest
_lock = threading.Lock()  # crypt(3) uses a static buffer


def new_salt() -> str:
    """Return 16 random bytes in bcrypt's alphabet."""
    head = "".join(secrets.choice(SALT_ALPHABET) for _ in range(SALT_LENGTH - 1))
    return head + secrets.choice(LAST_SALT_CHARACTERS)


def bcrypt_hash(password: str, salt: str | None = None) -> str | None:
    """Return the hash; None if the C library has no bcrypt, as on macOS.

    `BCRYPT_COST` sets its cost. The default takes 70 ms of CPU time, and nothing in this project reads the hashes.
    """
    cost = int(os.environ.get(COST_VARIABLE, DEFAULT_COST))
    setting = f"$2a${cost:02}${salt or new_salt()}".encode()
    with _lock:
        library = _library()
        if library is None:
            return None
        result: bytes | None = library.crypt(password.encode()[:MAX_BYTES], setting)
    return result.decode() if result is not None and result.startswith(setting) else None


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(ctypes.util.find_library("crypt"))
        library.crypt.restype = ctypes.c_char_p
    except (OSError, AttributeError):
        return None
    return library
