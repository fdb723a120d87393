"""mitmproxy's handler of one agent's connections, which lets nobody hold more than he may.

An answer that its agent does not read is not fetched any further, and a connection that ended is
closed for good, also where mitmproxy's own handler was cancelled before it could, or where its
peer never reads the rest. Of what takes long to work through, less is taken at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from time import thread_time
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import server

from addons.direct import Direct
from addons.http2 import AgentSide
from addons.server import Handler

# How much of an agent's answers may wait for it to read; then nothing is read from upstreams.
MOST_UNREAD = 1 << 20
LOOK_AGAIN_S = 0.02
# How long a peer may take to read the rest once its connection ended.
FAREWELL_S = 2.0

# For so long others wait while what came is worked through: 64 KB of chunks or frames of one byte
# are a quarter of a second, and who waits does so some twenty times a call.
MOST_AT_ONCE_S = 0.005
LEAST_BYTES, FIRST_BYTES = 1 << 10, 1 << 14
# As much as asyncio takes from a socket at once, where mitmproxy would take pieces of 64 KB. Each
# time it asks for so much memory, which from 128 KiB on costs ten times as much as a small piece.
MOST_BYTES, SMALL_BYTES = 1 << 18, 1 << 16

_drain: Any = server.ConnectionHandler.drain_writers
_handle: Any = server.ConnectionHandler.handle_connection


class Portion:
    """How much of what a peer sends is taken at once: less when that took long, then more again."""

    def __init__(
        self, read: Callable[[int], Awaitable[bytes]], transport: asyncio.BaseTransport
    ) -> None:
        """`transport` is told how much is taken from the socket."""
        self._read = read
        self._transport: Any = transport
        self._take(FIRST_BYTES)
        self._size = 0
        self._began = 0.0
        self._was_long = False

    async def read(self, _: int) -> bytes:
        """Read what is there, a portion at most."""
        if self._was_long:
            await asyncio.sleep(0)  # a reader that has something does not wait, and nobody gets in
        data = await self._read(self._most)
        self._begin(len(data))
        return data

    def takes(self, size: int) -> bool:
        """Say whether so much may be worked through without a turn for others, and take it."""
        if self._was_long or size > self._most:
            return False
        self._begin(size)
        return True

    def _begin(self, size: int) -> None:
        # What is less than the least is all that there was, and the clock is dear.
        self._size, self._began = size, thread_time() if size >= LEAST_BYTES else 0.0

    def worked_through(self) -> None:
        """What was read last has been worked through, in this thread, just now."""
        took = thread_time() - self._began if self._began else 0.0
        self._was_long = took > MOST_AT_ONCE_S / 2
        if took > MOST_AT_ONCE_S:
            self._take(max(LEAST_BYTES, int(self._size * MOST_AT_ONCE_S / took)))
        elif not self._was_long and self._size == self._most:
            self._take(min(MOST_BYTES, 2 * self._most))

    def _take(self, most: int) -> None:
        self._most = most
        self._transport.max_size = max(most, SMALL_BYTES)


_portion: ContextVar[Portion | None] = ContextVar("portion", default=None)


def take_over() -> None:
    """Have every connection be handled so."""
    handler: Any = server.ConnectionHandler
    handler.drain_writers, handler.handle_connection = drain_writers, handle_connection


async def drain_writers(handler: server.ConnectionHandler) -> None:
    """Wait until what was written is read; the agent itself must be heard meanwhile."""
    if portion := _portion.get():
        portion.worked_through()
    for io in handler.transports.values():
        if io.writer and not _is_through(io.writer):
            await _drain(handler)
            break
    own = handler.transports.get(handler.client)
    if own is None or own.handler is asyncio.current_task():
        return
    while _is_unread(handler):  # noqa: ASYNC110 - nobody says when a window opens
        await asyncio.sleep(LOOK_AGAIN_S)


async def handle_connection(handler: server.ConnectionHandler, connection: Connection) -> None:
    """Read to the end, then close, however it ended."""
    io = handler.transports[connection]
    reader, writer = io.reader, io.writer
    if not isinstance(reader, asyncio.StreamReader) or not isinstance(writer, asyncio.StreamWriter):
        await _handle(handler, connection)
        return
    transport = writer.transport
    writing: Any = writer
    writing.write, writing.is_closing = transport.write, transport.is_closing
    writing.unsent = transport.get_write_buffer_size
    writing.close = partial(close, reader, writer)
    reading: Any = reader
    portion = Portion(reader.read, transport)
    reading.read = portion.read
    _portion.set(portion)
    direct = None
    if isinstance(handler, Handler):
        direct = Direct(handler, connection, portion, partial(_is_held_up, handler, connection))
    try:
        await _handle(handler, connection)
    finally:
        if direct:
            direct.end()
        writer.close()


def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that no more is coming, and let the peer read it: closed at once, it might see a reset.

    What the peer still sends is thrown away (RFC 9112, 9.6); after a while it is over.
    """
    transport = writer.transport
    if transport in _CLOSING or transport.is_closing():
        return
    if reader.at_eof() and not transport.get_write_buffer_size():
        transport.close()
        return
    with suppress(OSError, RuntimeError):
        transport.write_eof()
    _CLOSING[transport] = asyncio.get_running_loop().create_task(_linger(reader, transport))


async def _linger(reader: asyncio.StreamReader, transport: asyncio.WriteTransport) -> None:
    try:
        async with asyncio.timeout(FAREWELL_S):
            while await reader.read(1 << 16) or transport.get_write_buffer_size():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)
    except (TimeoutError, OSError):
        pass
    finally:
        transport.abort()
        _CLOSING.pop(transport, None)


_CLOSING: dict[asyncio.WriteTransport, asyncio.Task[None]] = {}


def _is_through(writer: Any) -> bool:
    """Say whether all that was written to a peer is on its way, and none of it waits."""
    unsent = getattr(writer, "unsent", None)  # as who is read from has it
    return unsent is not None and not unsent()


def _is_held_up(handler: Handler, connection: Connection) -> bool:
    """Say whether somebody has not read all that what comes on a connection was answered with."""
    if handler.is_behind:
        handler.is_behind = not all(_is_through(io.writer) for io in handler.transports.values())
    if handler.is_behind:
        return True
    if connection is handler.client or not AgentSide.waiting:  # nobody speaks HTTP/2
        return False
    return _is_unread(handler)


def _is_unread(handler: server.ConnectionHandler) -> bool:
    is_there = handler.client in handler.transports
    return is_there and AgentSide.unread(handler.client) > MOST_UNREAD
