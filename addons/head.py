"""Refuses a request whose head is out of bounds, before anything reads it."""

from typing import Any

from mitmproxy import http
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server

from addons import refusals
from addons.door import Door
from addons.fail_closed import fail_closed

# Where in a frame its type stands, and that of a body (RFC 9113, 4.1 and 6.1).
FRAME_TYPE, DATA = 3, 0


class Head:
    """Stands first. A head that never ends is cut off by the wire boundary itself."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @fail_closed
    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Measure the head of a CONNECT."""
        self._measure(flow)

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Measure the head of a request."""
        self._measure(flow)

    def _measure(self, flow: http.HTTPFlow) -> None:
        limits, fields = self._door.limits, flow.request.headers.fields
        size = len(flow.request.path) + sum([len(name) + len(value) + 4 for name, value in fields])
        if len(fields) > limits.header_count:
            flow.response = too_many(limits.header_count)
        elif size > limits.header_bytes:
            flow.response = too_long(limits.header_bytes)


def begun(reader: Any) -> bool | None:
    """Say whether a connection has sent a part of a head, and not all of it.

    None for one that carries a tunnel, which only who reads inside of it can say.
    """
    if isinstance(reader, Http1Server):
        is_tunnel = reader.state == reader.passthrough
        return None if is_tunnel else bool(reader.state == reader.read_headers and reader.buf)
    if not isinstance(reader, Http2Server):
        return False
    frames = reader.h2_conn.incoming_buffer
    partial = len(frames._data) > FRAME_TYPE and frames._data[FRAME_TYPE] != DATA
    return bool(frames._headers_buffer) or partial


def too_many(most: int) -> http.Response:
    """431 (RFC 6585, 5): too many headers."""
    return refusals.plain(
        431, f"the request has more than {most} headers (limit interlock_header_count)"
    )


def too_long(most: int) -> http.Response:
    """431 (RFC 6585, 5): too many bytes."""
    return refusals.plain(
        431, f"the request head has more than {most} bytes (limit interlock_header_bytes)"
    )
