"""Tells whether a body may be JSON-RPC, for whatever server, without reading it as JSON."""

import json
import re
from contextlib import suppress

from interlock.calls.body import MOST_BYTES
from interlock.calls.codings import CodingError, Decoder, parse_codings
from interlock.model import Request


def _spelled(letter: str) -> str:
    """Every way to write a letter of a JSON key that some parser takes for this one."""
    codes = "|".join(f"{ord(form):02x}" for form in {letter, letter.upper()})
    odd = {"s": r"|\xc5\xbf|\\u017f", "k": r"|\xe2\x84\xaa|\\u212a"}.get(letter, "")
    return rf"(?:{letter}|\\u00(?:{codes}){odd})"


def key_pattern(key: str) -> re.Pattern[bytes]:
    """Find a key of a JSON object in UTF-8, without reading the JSON."""
    return re.compile(rf'"{"".join(map(_spelled, key))}"\s*:'.encode("latin-1"), re.IGNORECASE)


_JSONRPC = key_pattern("jsonrpc")


def may_be_rpc(request: Request) -> bool:
    """Say whether a body may be JSON-RPC, in whatever character set a server would guess.

    In a content coding too, which a server may undo or overlook; what is too much to look through
    may be.
    """
    body = uncoded(request)
    is_cut = body is not request.body and len(body) > MOST_BYTES
    return overlooked(request) or _holds_rpc(body) or (is_cut and body.lstrip()[:1] in b"{[")


def overlooked(request: Request) -> bool:
    """Say whether a body, read as if its content coding were not there, may be JSON-RPC."""
    coded = request.content_encoding not in ("", "identity")
    return coded and _in_utf8(request.body)[:1] in (b"{", b"[") and _holds_rpc(request.body)


def _holds_rpc(body: bytes) -> bool:
    return _JSONRPC.search(_in_utf8(body)) is not None


def _in_utf8(body: bytes) -> bytes:
    """A text in whatever character set JSON may be in, without what may stand before it."""
    charset = json.detect_encoding(body)
    if charset not in ("utf-8", "utf-8-sig"):
        body = body.decode(charset, "replace").encode("utf-8", "replace")
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")


def uncoded(request: Request) -> bytes:
    """The body without its content codings, as much of it as is looked at."""
    if request.content_encoding in ("", "identity"):
        return request.body
    try:
        decoder = Decoder(parse_codings(request.content_encoding), ratio=MOST_BYTES)
    except CodingError:
        return b""  # what nobody can undo is no message to anybody
    found = bytearray()
    with suppress(CodingError):
        for piece in decoder.feed(request.body):
            found += piece
            if len(found) > MOST_BYTES:
                break
    return bytes(found)
