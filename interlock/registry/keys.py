"""Keys of agents, sessions and the API: shown once, kept as digests, known by their prefix."""

import hashlib
import re
import secrets

PREFIX = "ilk_"
SESSION_PREFIX = "ils_"
API_PREFIX = "ila_"
_SHAPE = re.compile(r"il[ksa]_[A-Za-z0-9_-]{43}")


def new_key(prefix: str = PREFIX) -> str:
    """A new key: its prefix and 43 base64url characters, 256 bits."""
    return prefix + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """What is stored of a key. 256 random bits need no slow hash (NIST SP 800-63B, 5.1.2.2)."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def is_ours(value: str) -> bool:
    """True for anything that claims to be a key of ours, whosever and well formed or not."""
    return value.startswith((PREFIX, SESSION_PREFIX, API_PREFIX))


def well_formed(key: str) -> bool:
    """True for a string that has the shape of a key of ours."""
    return _SHAPE.fullmatch(key) is not None
