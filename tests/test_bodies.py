"""Bodies pass whole, in their order, are held once, and are let go when their call is over."""

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    _http1,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server
from mitmproxy.test import taddons, tflow, tutils

from addons import http1
from addons.stream import Body, StreamLayer
from addons.whole import parts_of

MB = 1 << 20
PIECES = st.lists(st.binary(min_size=1, max_size=9), max_size=6)


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    """A client, a server, and mitmproxy's options, where messages are read our way."""
    with pytest.MonkeyPatch.context() as patch, taddons.context(Proxyserver()) as known:
        # Both are what `http1.take_over` puts in place, for all that comes after.
        for name in ("handle_event", "read_body"):
            patch.setattr(Http1Connection, name, getattr(http1, name))
        patch.setattr(_http1, "ChunkedReader", http1.WithoutTrailers)
        made = Context(tflow.tclient_conn(), known.options)
        made.server = tflow.tserver_conn()
        yield made


def test_a_body_is_held_once() -> None:
    """Not its pieces, and then the whole besides."""
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        body = Body()
        for _ in range(8 * MB // len(piece)):
            body += piece
        whole = bytes(body)
        assert tracemalloc.get_traced_memory()[1] < 10 * MB
    finally:
        tracemalloc.stop()
    assert whole == piece * 128
    assert len(body) == 8 * MB
    body.clear()
    assert (len(body), bool(body), bytes(body), len(whole)) == (0, False, b"", 8 * MB)


@given(PIECES)
def test_a_body_is_its_pieces(pieces: list[bytes]) -> None:
    """In their order; what was read out of it stays as it was."""
    body = Body()
    for piece in pieces:
        before = bytes(body)
        body += piece
        assert bytes(body) == before + piece
        assert body


def request_of(pieces: list[bytes], chunked: bool) -> bytes:
    """A whole request, of a known length or in chunks."""
    if chunked:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        return b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    body = b"".join(pieces)
    return b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@given(st.lists(st.tuples(PIECES, st.booleans()), min_size=1, max_size=3), st.data())
def test_requests_are_read_the_same_however_they_are_cut(
    context: Context, requests: list[tuple[list[bytes], bool]], data: st.DataObject
) -> None:
    """Every byte of a body once, the next request where it begins."""
    sent = [b"".join(pieces) for pieces, _ in requests]
    wire = b"".join(request_of(*each) for each in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=9)))
    reader = Http1Server(context.fork())
    list(reader.handle_event(events.Start()))
    got: list[bytes] = []
    ended = 0
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        for event in _read(reader, events.DataReceived(context.client, wire[start:end])):
            if isinstance(event, RequestHeaders):
                got.append(b"")
            elif isinstance(event, RequestData):
                got[-1] += event.data
            elif isinstance(event, RequestEndOfMessage):
                ended += 1
                answer = ResponseHeaders(event.stream_id, _response(), end_stream=True)
                for answered in (answer, ResponseEndOfMessage(event.stream_id)):
                    list(reader.send(answered))
    assert (got, ended) == (sent, len(sent))


def test_chunks_that_come_together_are_one_piece(context: Context) -> None:
    """Most events of a stream do, and each piece costs a way through all layers."""
    reader = Http1Server(context.fork())
    list(reader.handle_event(events.Start()))
    wire = request_of([b"a", b"b", b"c"], chunked=True)
    cut = wire.index(b"c\r\n")
    first = _read(reader, events.DataReceived(context.client, wire[:cut]))
    assert [event.data for event in first if isinstance(event, RequestData)] == [b"ab"]
    second = _read(reader, events.DataReceived(context.client, wire[cut:]))
    assert [type(event).__name__ for event in second] == ["RequestData", "RequestEndOfMessage"]


def _read(reader: Any, event: events.Event) -> Iterator[HttpEvent]:
    for command in reader.handle_event(event):
        if isinstance(command, ReceiveHttp):
            yield from parts_of(command.event)


def test_a_call_that_is_over_is_let_go(context: Context) -> None:
    """Its body may be large, and the collector of cycles comes by when it pleases."""
    above = HttpLayer(context.fork(), HTTPMode.regular)
    stream = StreamLayer(above.context.fork(), 1)
    request = tutils.treq(headers=http.Headers([(b"content-length", b"3")]))
    said = _through(stream, context, events.Start(), RequestHeaders(1, request, end_stream=False))
    flow = weakref.ref(stream.flow)
    said += _through(stream, context, RequestData(1, b"abc"), RequestEndOfMessage(1))
    assert RequestData(1, b"abc") in said
    answer = ResponseHeaders(1, _response(), end_stream=False)
    gc.disable()
    try:
        said = _through(stream, context, answer, ResponseData(1, b"ok"), ResponseEndOfMessage(1))
        assert said[-1] == ResponseEndOfMessage(1)
        assert flow() is None
    finally:
        gc.enable()
    assert not _through(stream, context, ResponseData(1, b"late"))


def _response() -> http.Response:
    return tutils.tresp(content=None, headers=http.Headers([(b"content-length", b"2")]))


def _through(stream: StreamLayer, context: Context, *given: Any) -> list[HttpEvent]:
    """What a stream sends while everything that it asks for is granted."""
    sent: list[HttpEvent] = []
    waiting = list(given)
    while waiting:
        for command in stream.handle_event(waiting.pop(0)):
            if isinstance(command, GetHttpConnection):
                waiting.insert(0, GetHttpConnectionCompleted(command, (context.server, None)))
            elif isinstance(command, commands.StartHook) and command.blocking:
                waiting.insert(0, events.HookCompleted(command))
            elif hasattr(command, "event"):
                sent += parts_of(command.event)
    return sent
