"""Says messages of HTTP/1: one that is there whole in one piece, and any other as its head says."""

from typing import Any

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseEndOfMessage

from addons.headers import index_of
from addons.openssl import RECORD_BYTES
from addons.whole import WholeRequest, WholeResponse, parts_of

_send: Any = _http1.Http1Server.send
_send_request: Any = _http1.Http1Client.send


def take_over() -> None:
    """Have every message be said so."""
    server: Any = _http1.Http1Server
    server.send = send
    client: Any = _http1.Http1Client
    client.send = send_request


def send(server: Any, event: Any) -> layer.CommandGenerator[None]:
    """`Http1Server.send`: what follows a head is said as its head says."""
    kind = type(event) if event.stream_id == server.stream_id else None
    if kind is WholeResponse:
        yield from _send_whole(server, event)
    elif kind is ResponseData:
        if data := event.data:
            is_plain = not _is_chunked(server.response)
            said = data if is_plain else b"%x\r\n%b\r\n" % (len(data), data)
            yield commands.SendData(server.conn, said)
    elif kind is ResponseEndOfMessage:
        if _is_chunked(server.response) and server.request.method.upper() != "HEAD":
            yield commands.SendData(server.conn, b"0\r\n\r\n")
        yield from server.mark_done(response=True)
    else:
        yield from _send(server, event)


def _send_whole(server: Any, event: WholeResponse) -> layer.CommandGenerator[None]:
    answer = event.response
    if answer.is_http2 or _is_chunked(answer) or len(event.content) >= RECORD_BYTES:
        for part in parts_of(event):
            yield from send(server, part)
        return
    server.response = answer
    yield commands.SendData(server.conn, http1.assemble_response_head(answer) + event.content)
    yield from server.mark_done(response=True)


def send_request(client: Any, event: Any) -> layer.CommandGenerator[None]:
    """`Http1Client.send`: one that is there whole goes out in one piece."""
    if type(event) is not WholeRequest:
        yield from _send_request(client, event)
        return
    asked = event.request
    is_plain = client.stream_id is None and not asked.is_http2 and _is_as_long_as_said(event)
    if not is_plain or len(event.content) >= RECORD_BYTES:
        for part in parts_of(event):
            yield from _send_request(client, part)
        return
    client.stream_id, client.request = event.stream_id, asked
    yield commands.SendData(client.conn, http1.assemble_request_head(asked) + event.content)
    yield from client.mark_done(request=True)


def _is_as_long_as_said(event: WholeRequest) -> bool:
    told, size = index_of(event.request.data.headers), len(event.content)
    lengths = told.get(b"content-length", [b"0"])
    return lengths == [b"%d" % size] and b"transfer-encoding" not in told


def _is_chunked(message: http.Message) -> bool:
    codings = index_of(message.data.headers).get(b"transfer-encoding", ())
    return b"chunked" in b", ".join(codings).lower()
