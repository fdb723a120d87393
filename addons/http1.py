"""Reads HTTP/1 messages: with trailers, which mitmproxy gives up on, and long ones without copies.

What stands in trailers is dropped. A recipient may (RFC 9110, 6.5.1), and an agent was never told
of any: we ask for none, and take `Trailer` off the answer. Empty lines before a request are skipped
(RFC 9112, 2.2); mitmproxy waits for more behind the first one, though the request is there. A host
that is too long is told before its letters are looked at, which takes up to a second.
"""

import re
from typing import Any

import h11
from h11._readers import ChunkedReader, ContentLengthReader
from mitmproxy import http
from mitmproxy.net import check
from mitmproxy.net.http import url
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestHeaders,
    ResponseHeaders,
)

from addons.framing import body_size
from addons.heads import answer_in, request_in
from addons.whole import with_content

# Not where nothing follows: without end, they are a head without end.
EMPTY_LINES = re.compile(rb"(?:\r?\n)+(?=[^\r\n])")

# Of a name (RFC 1035, 2.3.4), and with brackets and a port.
LONGEST_HOST, LONGEST_AUTHORITY = 254, 264

_is_valid_host: Any = check.is_valid_host
_parse_authority: Any = url.parse_authority
_read_headers: Any = _http1.Http1Server.read_headers
_read_body: Any = _http1.Http1Connection.read_body


class WithoutTrailers(ChunkedReader):
    """Chunks, and the end of the message without what is said behind the last of them."""

    def __call__(self, buffer: Any) -> Any:
        """Read the next piece; raises h11.ProtocolError for trailers that are none."""
        event = super().__call__(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def take_over() -> None:
    """Have every message be read so."""
    module: Any = _http1
    module.ChunkedReader = WithoutTrailers
    reader: Any = _http1.Http1Connection
    reader.handle_event = reader._handle_event = handle_event
    reader.read_body = read_body
    server: Any = _http1.Http1Server
    server.read_headers = read_headers
    checks: Any = check
    checks.is_valid_host = is_valid_host
    urls: Any = url
    urls.parse_authority = parse_authority


def handle_event(reader: Any, event: events.Event) -> Any:
    """`Http1Connection.handle_event`: the middle of a body goes on as it came, without copies.

    A reader never waits for what it asks for, and so need not be kept from going on meanwhile.
    """
    if isinstance(event, HttpEvent):
        return reader.send(event)
    if isinstance(event, events.DataReceived) and reader.state != reader.passthrough:
        if _is_amid(reader, len(event.data)):
            return _go_on(reader, event.data)
        if reader.state == reader.read_headers and (found := _head_in(reader, event.data)):
            return _begin(reader, event, *found)
        reader.buf += event.data
    return reader.state(event)


def _go_on(reader: Any, data: bytes) -> layer.CommandGenerator[None]:
    reader.body_reader._remaining -= len(data)
    yield ReceiveHttp(reader.ReceiveData(reader.stream_id, data))


def _head_in(reader: Any, data: bytes) -> tuple[Any, int | None, bytes] | None:
    """The head that begins here, the size of its body, and what is there of that.

    None for what is not all there, not plain or not right: mitmproxy is to read it.
    """
    is_answer = reader.ReceiveData is not RequestData
    if reader.buf or (is_answer and not reader.request):
        return None
    found: Any = answer_in(data) if is_answer else request_in(data)
    if found is None:
        return None
    message, end = found
    try:
        size = body_size(reader.request, message) if is_answer else body_size(message)
    except ValueError:
        return None
    return message, size, data[end:]


def _begin(
    reader: Any, event: events.DataReceived, message: Any, size: int | None, rest: bytes
) -> layer.CommandGenerator[None]:
    """`read_headers`, of a head that was read; a message that is there whole goes on as one."""
    is_request = reader.ReceiveData is RequestData
    head: HttpEvent
    if is_request:
        reader.request = message
        head = RequestHeaders(reader.stream_id, message, size == 0)
    else:
        reader.response = message
        head = ResponseHeaders(reader.stream_id, message, size == 0)
    if size == len(rest) and _ends_as_said(reader.request, message):
        yield ReceiveHttp(with_content(head, rest))
        yield from reader.mark_done(request=is_request, response=not is_request)
        return
    reader.buf += rest
    yield ReceiveHttp(head)
    reader.body_reader = _http1.make_body_reader(size)
    reader.state = reader.read_body
    yield from reader.state(event)


def _ends_as_said(request: http.Request, message: http.Message) -> bool:
    """Say whether a message is over with its body: no CONNECT, nor an answer before the answer."""
    is_interim = isinstance(message, http.Response) and message.data.status_code < 200
    return not is_interim and request.data.method.upper() != b"CONNECT"


def read_body(reader: Any, event: events.Event) -> layer.CommandGenerator[None]:
    """`Http1Connection.read_body`: of a known length, or in pieces."""
    is_whole = type(reader.body_reader) is ContentLengthReader
    has_come = is_whole and type(event) is events.DataReceived
    return _read_length(reader, reader.body_reader) if has_come else _read_pieces(reader, event)


def _read_length(reader: Any, body: Any) -> layer.CommandGenerator[None]:
    """Read what is there of a body of a known length."""
    if body._remaining and (piece := reader.buf.maybe_extract_at_most(body._remaining)):
        body._remaining -= len(piece)
        yield ReceiveHttp(reader.ReceiveData(reader.stream_id, bytes(piece)))
    if not body._remaining:
        if reader.request.data.method.upper() != b"CONNECT":
            yield ReceiveHttp(reader.ReceiveEndOfMessage(reader.stream_id))
        is_request = reader.ReceiveData is RequestData
        yield from reader.mark_done(request=is_request, response=not is_request)


def _read_pieces(reader: Any, event: events.Event) -> layer.CommandGenerator[None]:
    """Read the pieces that are there; chunks that came together go on as one."""
    pieces: list[HttpEvent] = []
    for command in _read_body(reader, event):
        if isinstance(command, ReceiveHttp) and isinstance(command.event, reader.ReceiveData):
            pieces.append(command.event)
            continue
        if pieces:
            yield _together(pieces)
            pieces = []
        yield command
    if pieces:
        yield _together(pieces)


def _together(pieces: list[Any]) -> ReceiveHttp:
    if len(pieces) > 1:
        pieces[0].data = b"".join([piece.data for piece in pieces])
    return ReceiveHttp(pieces[0])


def _is_amid(reader: Any, size: int) -> bool:
    """Say whether so many bytes are of a body of a known length, and not its end."""
    return (
        reader.state == reader.read_body
        and not reader.buf
        and type(reader.body_reader) is ContentLengthReader
        and 0 < size < reader.body_reader._remaining
    )


def read_headers(server: _http1.Http1Server, event: events.ConnectionEvent) -> Any:
    """`Http1Server.read_headers`: read the head of a request, behind the empty lines before it."""
    kept = server.buf._data
    if kept.startswith((b"\r", b"\n")) and (empty := EMPTY_LINES.match(kept)):
        server.buf.maybe_extract_at_most(empty.end())
    return _read_headers(server, event)


def is_valid_host(host: str | bytes) -> bool:
    """`check.is_valid_host`: whether it is a name or an address."""
    return len(host) <= LONGEST_HOST and bool(_is_valid_host(host))


def parse_authority(authority: str | bytes, check: bool) -> tuple[str, int | None]:
    """`url.parse_authority`: host and port; raises ValueError for what is none, where asked to."""
    if len(authority) <= LONGEST_AUTHORITY:
        found: tuple[str, int | None] = _parse_authority(authority, check)
        return found
    if check:
        raise ValueError("Invalid authority")
    plain = authority if isinstance(authority, str) else authority.decode(errors="surrogateescape")
    return plain, None
