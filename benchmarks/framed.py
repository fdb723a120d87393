"""The same upstream for HTTP/2 (RFC 9113): the frames of its one answer are written once."""

import asyncio
from typing import cast

from hpack import Decoder

from benchmarks.frames import (
    ACK,
    CREDIT,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    STATUS_200,
    Frame,
    frame,
    literal,
    opening,
    room_for,
    split,
)

STATUS_401 = b"\x08\x03401"
KIND = literal(b"content-type", b"application/json")


class Framed(asyncio.Protocol):
    """One connection. `body` answers every call whose authorization is `proof`."""

    def __init__(self, body: bytes, proof: str) -> None:
        self._body, self._proof = body, ("authorization", proof)
        self._buffer, self._taken, self._greeted = b"", 0, False
        self._decoder = Decoder()
        self._proven: set[int] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say how much may come at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(opening())

    def data_received(self, data: bytes) -> None:
        """Answer all calls that are whole."""
        self._buffer += data
        if not self._greeted:
            if len(self._buffer) < len(PREFACE):
                return
            self._buffer, self._greeted = self._buffer.removeprefix(PREFACE), True
        found, self._buffer = split(self._buffer)
        self._transport.write(b"".join(map(self._take, found)))

    def _take(self, one: Frame) -> bytes:
        said = b""
        if one.kind in (SETTINGS, PING) and not one.flags & ACK:
            return frame(one.kind, ACK, 0, one.payload if one.kind == PING else b"")
        if one.kind == HEADERS and self._proof in self._decoder.decode(one.payload):
            self._proven.add(one.stream)
        if one.kind == DATA:
            self._taken += len(one.payload)
            if self._taken > CREDIT:
                said, self._taken = room_for(self._taken), 0
        if one.kind in (DATA, HEADERS) and one.flags & END_STREAM:
            said += self._answer(one.stream)
        return said

    def _answer(self, stream: int) -> bytes:
        if stream not in self._proven:
            return frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_401)
        self._proven.remove(stream)
        head = frame(HEADERS, END_HEADERS, stream, STATUS_200 + KIND)
        return head + frame(DATA, END_STREAM, stream, self._body)
