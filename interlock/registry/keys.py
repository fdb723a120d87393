"""Agent keys: shown once, kept as digests, recognised by their prefix."""

import hashlib
import re
import secrets

PREFIX = "ilk_"
SESSION_PREFIX = "ils_"
_SHAPE = re.compile(r"ilk_[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """A new key: `ilk_` and 43 base64url characters, 256 bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """What is stored of a key. 256 random bits need no slow hash (NIST SP 800-63B, 5.1.2.2)."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def is_ours(value: str) -> bool:
    """True for anything that claims to be a key or session of ours, well formed or not."""
    return value.startswith((PREFIX, SESSION_PREFIX))


def well_formed(key: str) -> bool:
    """True for a string that has the shape of an agent key."""
    return _SHAPE.fullmatch(key) is not None
