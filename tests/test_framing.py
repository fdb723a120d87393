"""Where a message ends, and whether its connection goes on, is what mitmproxy makes of it."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.test import taddons, tflow, tutils

from addons import framing

type Call = tuple[http.Request, http.Response]

# What stands in a head, in one field or in two; and nothing.
LENGTHS = ((), (b"0",), (b"3",), (b"+3",), (b"3, 3",), (b"",), (b"\xff",), (b"3", b"3"))
CODINGS = ((), *((each,) for each in (b"chunked", b"Chunked", b"gzip", b"identity", b"")))
LASTS = ((), *((each,) for each in (b"keep-alive", b"close", b"Keep-Alive", b"close, x", b"")))
METHODS = (b"GET", b"POST", b"HEAD", b"head", b"CONNECT")
STATUSES = (100, 101, 200, 204, 304, 404)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0")
# As they were before anything took their place.
SIDES: dict[Any, Any] = {side: side.mark_done for side in (Http1Client, Http1Server)}
SENT: Any = Http1Server.send


def calls() -> Iterator[Call]:
    """Every head of an answer, every word of the agent on its connection, every kind of call."""
    for length, coding, last in product(LENGTHS, CODINGS, LASTS):
        for asked in LASTS:
            yield asking(last=asked), answer(length, coding, last)
    for method, status, asked, answered in product(METHODS, STATUSES, VERSIONS, VERSIONS):
        for length, coding in (((b"3",), ()), ((), (b"chunked",))):
            response = answer(length, coding, status=status, version=answered)
            yield asking(method=method, version=asked), response


def asking(
    length: Any = (b"3",),
    coding: Any = (),
    last: Any = (),
    method: bytes = b"POST",
    version: bytes = b"HTTP/1.1",
) -> http.Request:
    """The head of a request."""
    headers = head(length, coding, last)
    return tutils.treq(headers=headers, method=method, http_version=version)


def answer(
    length: Any = (b"3",),
    coding: Any = (),
    last: Any = (),
    status: int = 200,
    version: bytes = b"HTTP/1.1",
) -> http.Response:
    """The head of an answer."""
    headers = head(length, coding, last)
    return tutils.tresp(headers=headers, status_code=status, http_version=version)


def head(length: Any, coding: Any, last: Any) -> http.Headers:
    """Headers with these values."""
    named = {b"Content-Length": length, b"transfer-encoding": coding, b"Connection": last}
    return http.Headers([(name, value) for name, values in named.items() for value in values])


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    """A client, a server, and mitmproxy's options."""
    with taddons.context(Proxyserver()) as known:
        made = Context(tflow.tclient_conn(), known.options)
        made.server = tflow.tserver_conn()
        yield made


def test_a_body_is_as_long_as_mitmproxy_says() -> None:
    """One that is read longer or shorter is somebody's next message (RFC 9112, 11.2)."""
    of_requests = ((asking(*said), None) for said in product(LENGTHS, CODINGS))
    for messages in (*calls(), *of_requests):
        assert _size(framing.body_size, *messages) == _size(framing._body_size, *messages), messages


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_a_connection_goes_on_where_mitmproxy_has_it_go_on(
    context: Context, side: Any, order: tuple[str, str]
) -> None:
    """Whichever side said all first."""
    for call in calls():
        ours, theirs = _amid(side, context, call), _amid(side, context, call)
        for done in order:
            said = [type(one) for one in framing.mark_done(ours, **{done: True})]
            assert said == [type(one) for one in SIDES[side](theirs, **{done: True})], call
            assert _state(ours) == _state(theirs), call


def _size(asked: Any, *messages: Any) -> Any:
    try:
        return asked(*messages)
    except ValueError:
        return ValueError


def _amid(side: Any, context: Context, call: Call) -> Any:
    """One side of a connection, amid a call."""
    made = side(context.fork())
    made.stream_id, made.state = 1, made.read_body
    made.request, made.response = call
    return made


def _state(reader: Any) -> tuple[Any, ...]:
    done = reader.request_done, reader.response_done
    return reader.state.__name__, reader.stream_id, reader.request, reader.response, *done
