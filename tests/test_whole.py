"""A message that goes on as one event is the one that mitmproxy would have made three of."""

from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.test import taddons, tflow

from addons import http1, writing
from addons.openssl import RECORD_BYTES
from addons.whole import WholeRequest, WholeResponse, in_one, is_more, parts_of
from tests.test_framing import CODINGS, LENGTHS, METHODS, STATUSES, answer, asking, calls

# As they were before anything took their place.
SENT: Any = Http1Server.send
ASKED: Any = Http1Client.send
HEAD = b"POST / HTTP/1.1\r\nhost: api.example\r\ncontent-length: 2\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def context() -> Iterator[Context]:
    """A client, a server, and mitmproxy's options, where messages are read our way."""
    with pytest.MonkeyPatch.context() as patch, taddons.context(Proxyserver()) as known:
        patch.setattr(Http1Connection, "handle_event", http1.handle_event)
        made = Context(tflow.tclient_conn(), known.options)
        made.server = tflow.tserver_conn()
        yield made


@pytest.mark.parametrize(
    ("wire", "is_whole"),
    [
        pytest.param(HEAD + b"ok", True, id="head and body"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", True, id="no body"),
        pytest.param(HEAD + b"o", False, id="half a body"),
        pytest.param(HEAD + b"okGET", False, id="the begin of the next"),
        pytest.param(HEAD.replace(b"cont", b"\tx\r\ncont") + b"ok", False, id="a folded line"),
        pytest.param(HEAD.replace(b"\r\n", b"\n") + b"ok", False, id="lines that end with LF"),
        pytest.param(HEAD.replace(b"host", b"a\nhost") + b"ok", False, id="one that does"),
        pytest.param(b"\r\n" + HEAD + b"ok", False, id="an empty line before"),
        pytest.param(HEAD.replace(b"2", b"+2") + b"ok", False, id="a length that is none"),
        pytest.param(HEAD.replace(b"POST", b"CONNECT"), False, id="a tunnel that is none"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\n\r\n", False, id="a tunnel"),
        pytest.param(b"\0 / x\r\n\r\n", False, id="no HTTP"),
    ],
)
def test_a_request_is_whole_where_nothing_is_missing(
    context: Context, wire: bytes, is_whole: bool
) -> None:
    """Whatever else it is, mitmproxy reads it, and says what is wrong with it."""
    reader = Http1Server(context.fork())
    list(reader.handle_event(events.Start()))
    said = _read(reader, wire)
    assert [type(one) for one in said if isinstance(one, WholeRequest)] == [WholeRequest] * is_whole


@pytest.mark.parametrize(
    ("wire", "is_whole"),
    [
        pytest.param(ANSWER, True, id="head and body"),
        pytest.param(ANSWER + b"x", False, id="more than there may be"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", True, id="no body"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", False, id="an interim answer"),
        pytest.param(b"HTTP/1.1 101 Go\r\n\r\n", False, id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", False, id="to the end of the connection"),
    ],
)
def test_an_answer_is_whole_where_nothing_is_missing(
    context: Context, wire: bytes, is_whole: bool
) -> None:
    """One before the answer is not the answer."""
    reader = Http1Client(context.fork())
    list(reader.handle_event(events.Start()))
    reader.request, reader.stream_id = asking(method=b"GET"), 1
    said = _read(reader, wire)
    whole = [one for one in said if isinstance(one, WholeResponse)]
    assert [type(one) for one in whole] == [WholeResponse] * is_whole


def test_an_answer_that_nobody_asked_for_is_none(context: Context) -> None:
    """Its connection is closed."""
    reader = Http1Client(context.fork())
    list(reader.handle_event(events.Start()))
    said = list(reader.handle_event(events.DataReceived(context.server, ANSWER)))
    assert [type(one) for one in said] == [commands.Log, commands.CloseConnection]


@pytest.mark.parametrize("size", [0, 4, RECORD_BYTES - 1, RECORD_BYTES])
def test_a_whole_answer_is_said_as_in_parts(context: Context, size: int) -> None:
    """Of every kind; where a body is large enough to fill a record, its head goes before it."""
    for request, response in calls():
        content = b"x" * size
        head = ResponseHeaders(1, response, end_stream=not content)
        parts = [head, *([ResponseData(1, content)] if content else []), ResponseEndOfMessage(1)]
        ours, theirs = Http1Server(context.fork()), Http1Server(context.fork())
        for server in (ours, theirs):
            server.state, server.request, server.request_done = server.wait, request, True
        (whole,) = _in_one(context.client, *parts)
        said = _told(writing.send(ours, whole))
        assert said == _told(*(SENT(theirs, part) for part in parts)), (request, response)
        assert _state(ours) == _state(theirs), (request, response)


@pytest.mark.parametrize("size", [0, 4, RECORD_BYTES - 1, RECORD_BYTES])
def test_a_whole_request_is_said_as_in_parts(context: Context, size: int) -> None:
    """Of every kind."""
    for length in LENGTHS:
        for coding in CODINGS:
            for method in METHODS[:-1]:
                content = b"x" * size
                request = asking(length, coding, method=method)
                head = RequestHeaders(1, request, end_stream=not content)
                body = [RequestData(1, content)] if content else []
                parts = [head, *body, RequestEndOfMessage(1)]
                ours, theirs = Http1Client(context.fork()), Http1Client(context.fork())
                (whole,) = _in_one(context.server, *parts)
                said = _told(writing.send_request(ours, whole))
                assert said == _told(*(ASKED(theirs, part) for part in parts)), request
                assert _state(ours) == _state(theirs), request


def test_what_is_no_whole_message_goes_on_as_it_was_said(context: Context) -> None:
    """A head alone, a body alone, and whatever goes to a connection of HTTP/2."""
    head, body = ResponseHeaders(1, answer(), end_stream=False), ResponseData(1, b"x")
    for said in ([head], [head, body], [body], [body, ResponseEndOfMessage(1)]):
        assert _in_one(context.client, *said) == said
    framed = tflow.tclient_conn()
    framed.alpn = b"h2"
    assert not is_more([], SendHttp(head, framed))


def test_a_message_of_three_pieces_has_all_of_them(context: Context) -> None:
    """As they were said."""
    head = ResponseHeaders(1, answer(), end_stream=False)
    parts = [head, ResponseData(1, b"a"), ResponseData(1, b"b"), ResponseEndOfMessage(1)]
    (whole,) = _in_one(context.client, *parts)
    assert list(parts_of(whole)) == [head, ResponseData(1, b"ab"), ResponseEndOfMessage(1)]


@pytest.mark.parametrize("status", STATUSES)
def test_an_answer_to_nothing_has_no_body(context: Context, status: int) -> None:
    """HEAD, above all."""
    reader = Http1Client(context.fork())
    list(reader.handle_event(events.Start()))
    reader.request, reader.stream_id = asking(method=b"HEAD"), 1
    wire = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n" % status
    said = [part for one in _read(reader, wire) for part in parts_of(one)]
    assert not [one for one in said if isinstance(one, ResponseData)]


def _read(reader: Any, wire: bytes) -> list[Any]:
    said = reader.handle_event(events.DataReceived(reader.conn, wire))
    return [command.event for command in said if isinstance(command, ReceiveHttp)]


def _in_one(peer: Any, *said: Any) -> list[Any]:
    """The events that a stream passes on where it says these in one go."""
    kept: list[Any] = []
    alone: list[Any] = []
    for event in said:
        command = SendHttp(event, peer)
        (kept if is_more(kept, command) else alone).append(command)
    return [command.event for command in (*alone, *in_one(kept))]


def _told(*courses: Any) -> tuple[bytes, list[Any]]:
    """What a peer gets, and whatever else is asked for."""
    said: list[Any] = []
    try:
        for course in courses:
            said += course
    except ValueError as e:
        said.append(e)
    data = b"".join(one.data for one in said if isinstance(one, commands.SendData))
    return data, [type(one) for one in said if not isinstance(one, commands.SendData)]


def _state(reader: Any) -> tuple[Any, ...]:
    done = reader.request_done, reader.response_done
    return reader.state.__name__, reader.stream_id, reader.request, reader.response, *done
