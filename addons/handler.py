"""mitmproxy's handler of one agent's connections, which lets nobody hold more than he may.

An answer that its agent does not read is not fetched any further, and a connection that ended is
closed for good, also where mitmproxy's own handler was cancelled before it could, or where its
peer never reads the rest.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import server

from addons.http2 import AgentSide

# How much of an agent's answers may wait for it to read; then nothing is read from upstreams.
MOST_UNREAD = 1 << 20
LOOK_AGAIN_S = 0.02
# As much as asyncio takes from a socket at once.
READ_BYTES = 1 << 18
# How long a peer may take to read the rest once its connection ended.
FAREWELL_S = 2.0

_drain: Any = server.ConnectionHandler.drain_writers
_handle: Any = server.ConnectionHandler.handle_connection


def take_over() -> None:
    """Have every connection be handled so."""
    handler: Any = server.ConnectionHandler
    handler.drain_writers, handler.handle_connection = drain_writers, handle_connection


async def drain_writers(handler: server.ConnectionHandler) -> None:
    """Wait until what was written is read; the agent itself must be heard meanwhile."""
    await _drain(handler)
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
    reading: Any = reader
    reading.read = partial(read, reader)
    closing: Any = writer
    closing.close = partial(close, reader, writer)
    try:
        await _handle(handler, connection)
    finally:
        writer.close()


async def read(reader: asyncio.StreamReader, _most: int) -> bytes:
    """Take all that is there, where mitmproxy would take it in pieces of 64 KB."""
    return await asyncio.StreamReader.read(reader, READ_BYTES)


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


def _is_unread(handler: server.ConnectionHandler) -> bool:
    is_there = handler.client in handler.transports
    return is_there and AgentSide.unread(handler.client) > MOST_UNREAD
