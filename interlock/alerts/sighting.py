"""Looks through a request for planted keys: its head, its body, and what a coding hides."""

import contextlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from broker.detector import PIECE, Detector, cut
from interlock.calls.codings import CodingError, Decoder, parse_codings

# How much of a compressed body is looked at: the most that an uncompressed one may have.
MOST_DECODED = 64 << 20
LONGEST_NAME = 64
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32

type Place = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A planted key in a request: which one, and where it stood. Never the value."""

    honeytoken: str
    where: str


def look_in_head(
    detector: Detector, target: Iterable[Place], headers: Iterable[tuple[bytes, bytes]]
) -> Sighting | None:
    """Find a planted key in what stands before the body; `target` holds named parts of it."""
    places = [*_plain(target), *_fields(headers)]
    found = detector.find([b"\n".join(value for _, value in places)])
    if not found:
        return None
    for where, value in places:
        if found := detector.find([value]):
            return Sighting(found, where)
    return None


def look_in_body(detector: Detector, body: bytes, coding: str) -> Sighting | None:
    """Find a planted key in a body as it is, or in what its codings hide.

    Whatever it says that they are, gzip and deflate are tried, because some servers do.
    """
    found = detector.find(cut(body))
    if not found and coding:
        found = detector.find(_decoded(body)) or detector.find(_undone(body, coding))
    return Sighting(found, "body") if found else None


def _plain(target: Iterable[Place]) -> Iterator[Place]:
    """Each part as it stands and, because encoders differ in what they encode, decoded."""
    for name, value in target:
        yield name, value
        if b"%" in value:
            yield name, unquote_to_bytes(value)


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Place]:
    for name, value in headers:
        yield "header name", name
        yield f"header {_public(name)}", value


def _public(name: bytes) -> str:
    """A header's name for the ledger; the detector has seen it before, as a value of its own."""
    return re.sub(r"[^a-z0-9_-]", "?", name.decode("latin-1").lower())[:LONGEST_NAME]


def _decoded(body: bytes) -> Iterator[bytes]:
    """Yield what decompression makes of a body, a piece at a time, as far as it can be read."""
    for bits in (_GZIP_OR_ZLIB, -zlib.MAX_WBITS):
        yield from _inflated(body, bits)


def _undone(body: bytes, coding: str) -> Iterator[bytes]:
    """Yield what is left of a body without the codings that it says it has, as far as one can."""
    with contextlib.suppress(CodingError):
        # No layer may grow larger than what is looked at.
        yield from Decoder(parse_codings(coding), MOST_DECODED // max(1, len(body))).feed(body)


def _inflated(rest: bytes, bits: int) -> Iterator[bytes]:
    inflate, total = zlib.decompressobj(bits), 0
    try:
        while rest and total < MOST_DECODED:
            piece = inflate.decompress(rest, PIECE)
            rest = inflate.unconsumed_tail
            total += len(piece)
            yield piece
            if inflate.eof:  # gzip may go on with another member (RFC 1952, 2.2)
                rest, inflate = inflate.unused_data, zlib.decompressobj(bits)
    except zlib.error:
        return
