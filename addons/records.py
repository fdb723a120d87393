"""Has what is said in one go leave in one record of TLS, and what is long a piece at a time.

mitmproxy makes a record of each command, which costs some twenty functions and a look at OpenSSL's
buffers, and whoever reads it as much; and it has all of a body in those buffers at once, which
then stay as large.
"""

import logging
from collections.abc import Iterable
from typing import Any

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from addons import openssl
from addons.openssl import RECORD_BYTES

# What a frame of HTTP/2 begins with: its length, its type and more (RFC 9113, 4.1 and 6).
FRAME_HEAD = 9
ENDS = (3, 7)  # RST_STREAM, GOAWAY
# So much goes through OpenSSL's buffers at once.
PIECE_BYTES = 1 << 16

_handle: Any = tls.TLSLayer.handle_event
_waiting: Any = tls.ServerTLSLayer.event_to_child


def take_over() -> None:
    """Have all TLS be written so."""
    layered: Any = tls.TLSLayer
    layered.handle_event = handle_event
    layered.event_to_child, layered.tls_interact = event_to_child, interact
    layered.receive_data, layered.send_data = receive_data, send_data
    server: Any = tls.ServerTLSLayer
    server.event_to_child = server_event_to_child


def handle_event(tunnel: Any, event: Any) -> Any:
    """`TLSLayer.handle_event`: once it is open, a tunnel waits for no command of its own."""
    if tunnel.tunnel_state is TunnelState.OPEN and not tunnel._paused:
        is_of_one = isinstance(event, events.ConnectionEvent)
        if not is_of_one or event.connection.id != tunnel.conn.id:
            return event_to_child(tunnel, event)
        if type(event) is events.DataReceived:
            return tunnel.receive_data(event.data)
    return _handle(tunnel, event)


def server_event_to_child(tunnel: Any, event: events.Event) -> Any:
    """`ServerTLSLayer.event_to_child`: as of any, once an agent's greeting is there."""
    pass_on = _waiting if tunnel.wait_for_clienthello else event_to_child
    return pass_on(tunnel, event)


def event_to_child(tunnel: Any, event: events.Event) -> layer.CommandGenerator[None]:
    """`TLSLayer.event_to_child`: pass an event on, and its commands back, data gathered.

    Not what fills a record by itself, which is worth no copy; nor the end of a stream of HTTP/2: a
    peer that gets an answer and a reset at once may look at the reset only.
    """
    if tunnel.tunnel_state is TunnelState.ESTABLISHING and not tunnel.command_to_reply_to:
        tunnel._event_queue.append(event)
        return
    said: list[bytes] = []
    is_framed = tunnel.conn.alpn == b"h2"
    for command in tunnel.child_layer.handle_event(event):
        is_data = isinstance(command, commands.SendData) and command.connection is tunnel.conn
        is_small = is_data and len(command.data) < RECORD_BYTES
        if is_small and not (is_framed and _is_end(command.data)):
            said.append(command.data)
            continue
        if said:
            yield from tunnel.send_data(b"".join(said))
            said = []
        is_of_one = isinstance(command, commands.ConnectionCommand)
        if is_of_one and command.connection.id == tunnel.conn.id:
            yield from tunnel._handle_command(command)
        else:
            yield command
    if said:
        yield from tunnel.send_data(b"".join(said))


def _is_end(data: bytes) -> bool:
    """Say whether there is a frame among these that ends something early."""
    at = 0
    while at + FRAME_HEAD <= len(data):
        if data[at + 3] in ENDS:
            return True
        at += FRAME_HEAD + int.from_bytes(data[at : at + 3])
    return False


def receive_data(tunnel: Any, data: bytes) -> Any:
    """`TLSLayer.receive_data`, without the errors by which OpenSSL says that there is no more."""
    said, end, ready = openssl.take(tunnel.tls, data)
    if said and not (end or ready):
        return tunnel.event_to_child(events.DataReceived(tunnel.conn, said))
    return _received(tunnel, said, end, ready)


def _received(
    tunnel: Any, said: bytes, end: SSL.Error | None, ready: bytes
) -> layer.CommandGenerator[None]:
    """Pass on what was said, behind what OpenSSL has to say to it."""
    is_farewell = isinstance(end, SSL.ZeroReturnError)
    if end and not is_farewell:
        # An alert counts as a farewell, after which mitmproxy tells nobody that the connection is
        # closed: a call would wait for an upstream for ever.
        if isinstance(tunnel, tls.ServerTLSLayer):
            tunnel.tls.set_shutdown(0)
        yield commands.Log(f"TLS Error: {end}", logging.WARNING)
    if ready:
        yield commands.SendData(tunnel.conn, ready)
    if said:
        yield from tunnel.event_to_child(events.DataReceived(tunnel.conn, said))
    if is_farewell:
        tunnel.conn.state &= ~ConnectionState.CAN_READ
        yield from tunnel.event_to_child(events.ConnectionClosed(tunnel.conn))


def send_data(tunnel: Any, data: bytes | memoryview) -> Iterable[commands.Command]:
    """`TLSLayer.send_data`, piece by piece."""
    if len(data) > PIECE_BYTES:
        return _send_long(tunnel, memoryview(data))
    try:
        openssl.write(tunnel.tls, data)
    except (SSL.ZeroReturnError, SSL.SysCallError):  # the peer has ended, and hears no more
        pass
    except SSL.Error:  # what it said last was no TLS, after which nothing more can be told
        return (commands.CloseConnection(tunnel.conn),)
    ready = openssl.send(tunnel.tls)
    return (commands.SendData(tunnel.conn, ready),) if ready else ()


def _send_long(tunnel: Any, data: memoryview) -> layer.CommandGenerator[None]:
    for start in range(0, len(data), PIECE_BYTES):
        for command in send_data(tunnel, data[start : start + PIECE_BYTES]):
            yield command
            if isinstance(command, commands.CloseConnection):
                return


def interact(tunnel: Any) -> tuple[commands.SendData, ...]:
    """`TLSLayer.tls_interact`: send what is ready; mitmproxy asks until OpenSSL has an error."""
    data = openssl.send(tunnel.tls)
    return (commands.SendData(tunnel.conn, data),) if data else ()
