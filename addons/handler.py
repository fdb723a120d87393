"""mitmproxy's handler of one agent's connections, which lets nobody hold more than he may.

An answer that its agent does not read is not fetched any further, and a connection that ended is
closed for good, also where mitmproxy's own handler was cancelled before it could, or where its
peer never reads the rest.
"""

import asyncio
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import server

from addons.http2 import AgentSide

# How much of an agent's answers may wait for it to read; then nothing is read from upstreams.
MOST_UNREAD = 1 << 20
LOOK_AGAIN_S = 0.02
# How long a peer may take to read the rest once its connection ended.
FAREWELL_S = 5.0

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
    writer = handler.transports[connection].writer
    try:
        await _handle(handler, connection)
    finally:
        if isinstance(writer, asyncio.StreamWriter):
            _close(writer)


def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    if writer.transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(FAREWELL_S, writer.transport.abort)


def _is_unread(handler: server.ConnectionHandler) -> bool:
    is_there = handler.client in handler.transports
    return is_there and AgentSide.unread(handler.client) > MOST_UNREAD
