"""PASETO v4.public: Ed25519 signatures over a payload, a footer and what both sides know anyway.

https://github.com/paseto-standard/paseto-spec, docs/01-Protocol-Versions/Version4.md.
One version, one purpose, no algorithm to choose.
"""

import base64
import struct

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from broker.errors import TokenForgedError, TokenMalformedError

_HEADER = "v4.public."
_SIGNATURE_BYTES = 64


def sign(payload: bytes, key: SigningKey, footer: bytes = b"", implicit: bytes = b"") -> str:
    """Return the token of payload and footer; `implicit` is signed too, but not carried."""
    signature = key.sign(pae(_HEADER.encode(), payload, footer, implicit)).signature
    body = _HEADER + _encode(payload + signature)
    return f"{body}.{_encode(footer)}" if footer else body


def verify(token: str, key: VerifyKey, implicit: bytes = b"") -> tuple[bytes, bytes]:
    """Return (payload, footer) of a genuine token.

    Raises TokenMalformedError for a text that is no v4.public token, TokenForgedError for one
    that `key` did not sign together with `implicit`.
    """
    signed, footer = split(token)
    return verify_parts(signed, footer, key, implicit), footer


def split(token: str) -> tuple[bytes, bytes]:
    """Return (payload with signature, footer), unverified; raises TokenMalformedError."""
    body, footer = _split(token)
    return _decode(body), _decode(footer)


def verify_parts(signed: bytes, footer: bytes, key: VerifyKey, implicit: bytes = b"") -> bytes:
    """Return the payload of what `split` gave; raises as `verify` does."""
    if len(signed) < _SIGNATURE_BYTES:
        raise TokenMalformedError("the token is too short to hold a signature")
    payload, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
    try:
        key.verify(pae(_HEADER.encode(), payload, footer, implicit), signature)
    except BadSignatureError as error:
        raise TokenForgedError("the token's signature does not fit") from error
    return payload


def footer_of(token: str) -> bytes:
    """Return the footer, which nothing has verified yet; raises TokenMalformedError."""
    return _decode(_split(token)[1])


def pae(*pieces: bytes) -> bytes:
    """Encode pieces so that no two lists give the same bytes (PASETO, Common.md)."""
    encoded = [_le64(len(pieces))]
    for piece in pieces:
        encoded += (_le64(len(piece)), piece)
    return b"".join(encoded)


_le64 = struct.Struct("<Q").pack


def _split(token: str) -> tuple[str, str]:
    if not token.startswith(_HEADER):
        raise TokenMalformedError("the token is not a v4.public token")
    body, dot, footer = token.removeprefix(_HEADER).partition(".")
    if dot and not footer:
        raise TokenMalformedError("the token ends in an empty footer")
    return body, footer


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise TokenMalformedError("the token is not base64url") from error
    # The decoder skips foreign characters and ignores trailing bits: one token, one spelling.
    if _encode(raw) != text:
        raise TokenMalformedError("the token is not canonical base64url")
    return raw
