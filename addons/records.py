"""Has what is said in one go leave in one record of TLS; mitmproxy makes one of each command.

A record costs some twenty functions and a look at OpenSSL's buffers, and whoever reads it as much.
"""

from typing import Any

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import tls
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestHeaders,
    RequestProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

# The most that one record holds (RFC 8446, 5.1); what is as large is worth no copy.
RECORD_BYTES = 1 << 14
# So much of what OpenSSL has ready is one piece.
PIECE_BYTES = 1 << 16

_openssl: Any = SSL
_ready: Any = _openssl._lib.BIO_get_mem_data
_where: Any = _openssl._ffi.new("char **")
_send: Any = Http1Client.send


def take_over() -> None:
    """Have all TLS, and all requests of HTTP/1, be written so."""
    layered: Any = tls.TLSLayer
    layered.event_to_child, layered.tls_interact = event_to_child, interact
    client: Any = Http1Client
    client.send = send


def event_to_child(tunnel: Any, event: events.Event) -> layer.CommandGenerator[None]:
    """`TLSLayer.event_to_child`: pass an event on, and its commands back, data gathered.

    Not of HTTP/2, where a peer that gets an answer and a reset at once may see the reset only.
    """
    if tunnel.tunnel_state is TunnelState.ESTABLISHING and not tunnel.command_to_reply_to:
        tunnel._event_queue.append(event)
        return
    said: list[bytes] = []
    for command in tunnel.child_layer.handle_event(event):
        is_data = isinstance(command, commands.SendData) and command.connection is tunnel.conn
        if is_data and len(command.data) < RECORD_BYTES and tunnel.conn.alpn != b"h2":
            said.append(command.data)
            continue
        if said:
            yield from tunnel.send_data(b"".join(said))
            said = []
        yield from tunnel._handle_command(command)
    if said:
        yield from tunnel.send_data(b"".join(said))


def interact(tunnel: Any) -> layer.CommandGenerator[None]:
    """`TLSLayer.tls_interact`: send what is ready; mitmproxy asks until OpenSSL has an error."""
    while size := _ready(tunnel.tls._from_ssl, _where):
        yield commands.SendData(tunnel.conn, tunnel.tls.bio_read(min(size, PIECE_BYTES)))


def send(client: Any, event: HttpEvent) -> layer.CommandGenerator[None]:
    """`Http1Client.send`: the head of a request waits for its body, which is there already.

    Only a request that is passed on while it comes has no length (addons/gate.py).
    """
    head = client.__dict__.pop("head", b"")
    if isinstance(event, RequestHeaders) and _has_body(event):
        client.head = b"".join(command.data for command in _send(client, event))
    elif head and isinstance(event, RequestData) and 0 < len(event.data) < RECORD_BYTES:
        for command in _send(client, event):
            command.data = head + command.data
            yield command
    else:
        if head and not isinstance(event, RequestProtocolError):
            yield commands.SendData(client.conn, head)
        yield from _send(client, event)


def _has_body(event: RequestHeaders) -> bool:
    return not event.end_stream and "content-length" in event.request.headers
