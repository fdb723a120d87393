"""Where a message of HTTP/1 ends, and whether its connection goes on: read from its head once.

Most heads say a plain length, or chunks, and of the connection nothing but that it goes on. What
any other means is asked of mitmproxy.
"""

from typing import Any

from mitmproxy import http
from mitmproxy.net.http import http1, validate
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import (
    RequestData,
)

from addons.headers import index_of

CHUNKED, KEPT = [b"chunked"], [b"keep-alive"]
# Where an answer ends with its head, whatever this says.
BODILESS = (b"HEAD", b"CONNECT")
BODILESS_STATUSES = (204, 304)

_body_size: Any = http1.expected_http_body_size
_closes: Any = http1.connection_close
_mark_done: Any = _http1.Http1Connection.mark_done


def take_over() -> None:
    """Have it be read so."""
    asked: Any = http1
    asked.expected_http_body_size = body_size
    asked.connection_close = closes
    server: Any = _http1.Http1Server
    server.mark_done = mark_done
    client: Any = _http1.Http1Client
    client.mark_done = mark_done


def body_size(request: http.Request, response: http.Response | None = None) -> int | None:
    """`expected_http_body_size`: the length of a body; None for chunks, -1 for all that comes.

    Raises ValueError for a head that says none of these.
    """
    told = index_of((response or request).data.headers)
    if response is None or _may_have_body(request, response):
        match told.get(b"content-length"), told.get(b"transfer-encoding"):
            case [length], None if length:
                return validate.parse_content_length(length)
            case None, [b"chunked"]:
                return None
            case None, None if response is None:
                return 0
    size: int | None = _body_size(request, response)
    return size


def closes(http_version: str | bytes, headers: http.Headers) -> bool:
    """`connection_close`: whether a message is the last; mitmproxy hears it in small letters."""
    return b"close" in options_of(headers) or bool(_closes(http_version, headers))


def options_of(headers: http.Headers) -> list[bytes]:
    """What is said of the connection, in lower case (RFC 9110, 7.6.1)."""
    told = index_of(headers).get(b"connection", ())
    return [option.strip().lower() for value in told for option in value.split(b",")]


def _may_have_body(request: http.Request, response: http.Response) -> bool:
    status = response.data.status_code
    is_bodiless = status < 200 or status in BODILESS_STATUSES
    return not is_bodiless and request.data.method.upper() not in BODILESS


def mark_done(
    reader: Any, *, request: bool = False, response: bool = False
) -> layer.CommandGenerator[None]:
    """`mark_done`: one side has said all; when both have, the next call may begin."""
    reader.request_done, reader.response_done = (
        reader.request_done or request,
        reader.response_done or response,
    )
    is_server = reader.ReceiveData is RequestData
    if not (reader.request_done and reader.response_done):
        if is_server and reader.request_done:
            reader.state = reader.wait
        return
    if not _goes_on(reader.request, reader.response):
        yield from _mark_done(reader)
        return
    reader.request_done = reader.response_done = False
    reader.request = reader.response = None
    reader.stream_id = reader.stream_id + 2 if is_server else None
    reader.state = reader.read_headers
    if reader.buf:
        yield from reader.state(events.DataReceived(reader.conn, b""))


def _goes_on(request: http.Request, response: http.Response) -> bool:
    """Say whether there is nothing in two heads that may end or change their connection."""
    asked, answered = index_of(request.data.headers), index_of(response.data.headers)
    return (
        request.data.http_version == response.data.http_version == b"HTTP/1.1"
        and _may_have_body(request, response)
        and asked.get(b"connection", KEPT) == answered.get(b"connection", KEPT) == KEPT
        and answered.get(b"transfer-encoding", CHUNKED) == CHUNKED
        and (any(answered.get(b"content-length", ())) or b"transfer-encoding" in answered)
    )
