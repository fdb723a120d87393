"""Placeholders: what an agent holds in place of a minted token, and where one stands."""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Iterable

PREFIX = b"ilm_"
_PLACEHOLDER = re.compile(rb"(?<![A-Za-z0-9_-])ilm_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_BASIC = b"basic "


def new_placeholder() -> str:
    """A new one: `ilm_` and 43 base64url characters, 256 bits."""
    return PREFIX.decode() + secrets.token_urlsafe(32)


def digest(placeholder: str) -> str:
    """What is stored of a placeholder, in hex; 256 random bits need no slow hash."""
    return hashlib.sha256(placeholder.encode()).hexdigest()


def placeholders_in(text: bytes) -> list[str]:
    """Every placeholder in a text, in its order."""
    return [found.decode() for found in _PLACEHOLDER.findall(text)] if PREFIX in text else []


def may_offer(head: bytes) -> bool:
    """False for headers without any placeholder; `head` is all that they say, in lower case."""
    return PREFIX in head or _BASIC in head


def offered_in(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """The placeholders in headers, each with the lower-case name of its header.

    Within Basic too (RFC 7617), because git sends a token as a password.
    """
    offering = [
        (name, value)
        for name, value in headers
        if value.find(PREFIX) >= 0 or value[: len(_BASIC)].lower() == _BASIC
    ]
    if not offering:
        return ()
    return tuple(
        [
            (name.decode("latin-1").lower(), found)
            for name, value in offering
            for found in placeholders_in(_bare(value))
        ]
    )


def _bare(value: bytes) -> bytes:
    if value[: len(_BASIC)].lower() != _BASIC:
        return value
    try:
        return base64.b64decode(value[len(_BASIC) :].strip(), validate=True)
    except (ValueError, binascii.Error):
        return value
