"""Passes event streams on as they come, and tells the agent how its call was decided."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Self

from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpRequestHeadersHook
from mitmproxy.proxy.utils import ReceiveBuffer
from mitmproxy.utils import human

from addons.broken import ANSWERED
from addons.door import Door
from addons.framing import body_size
from addons.headers import index_of
from addons.refusals import DECISION_HEADER, DECISION_ID_HEADER
from addons.turn import turn_of
from addons.whole import WholeRequest, WholeResponse, in_one, is_more

STREAMED_TYPES = (
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/stream+json",
    b"application/grpc",
)
# What the agent is told of the decision by; in HTTP/2, names are in lower case (RFC 9113, 8.2.1).
NAMES = DECISION_HEADER.encode(), DECISION_ID_HEADER.encode()
LOWER = tuple(name.lower() for name in NAMES)
OF_REQUEST = (RequestHeaders, RequestData, RequestTrailers, RequestEndOfMessage)
OF_ANSWER = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage)
# Answers up to this size are kept whole, so that people can read them in mitmweb.
KEPT_BYTES = 1 << 20


class Stream:
    """Decides how an answer travels; never whether."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Mark what must not wait, and add our headers in place of any the upstream sent."""
        response = flow.response
        account = self._door.accounts.get(flow.id)
        if response is None or account is None:
            return
        is_framed = response.is_http2
        # Of trailers, HTTP/1.1 has none here (addons/http1.py).
        gone = (b"alt-svc",) if is_framed and flow.request.is_http2 else (b"alt-svc", b"trailer")
        left = [
            field
            for field in response.headers.fields
            if (name := field[0].lower()) not in gone and not name.startswith(b"interlock-")
        ]
        decision, names = account.verdict.decision, LOWER if is_framed else NAMES
        said = zip(names, (decision.label.encode(), decision.id.encode()), strict=True)
        response.headers.fields = (*left, *said)
        response.stream = _must_not_wait(response)


class Body(ReceiveBuffer):
    """A body that comes piece by piece and is held once, not in its pieces and as a whole."""

    def __init__(self) -> None:
        self._held = BytesIO()

    def __iadd__(self, piece: bytes) -> Self:
        self._held.write(piece)
        return self

    def __len__(self) -> int:
        return self._held.tell()

    def __bytes__(self) -> bytes:
        return self._held.getvalue()

    def __bool__(self) -> bool:
        return self._held.tell() > 0

    def clear(self) -> None:
        """Begin anew."""
        self._held = BytesIO()


type Connect = Callable[[HttpStream, GetHttpConnection], tuple[Any, str | None] | None]


class StreamLayer(HttpStream):
    """mitmproxy's stream of one call, which says of a limit whose it is and keeps no large answer.

    mitmproxy would give up an answer above `body_size_limit` even where it passes it on unkept,
    keep what it refused for as long as the connection lasts, answer HEAD with a body, which the
    agent takes for the next answer, and have a call of gRPC go on that was answered already.
    """

    def __init__(
        self, context: Context, stream_id: int, at_once: Connect = lambda *_: None
    ) -> None:
        """`at_once` answers which connection a call gets, where nobody need be waited for."""
        super().__init__(context, stream_id)
        self.request_body_buf = Body()
        self._at_once = at_once
        self._turn = turn_of(context.client)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        course, reply = self._course(event), None
        # What an agent says over HTTP/2 it may take back in the same breath.
        is_final = isinstance(event, OF_ANSWER) or self.context.client.alpn != b"h2"
        turn = self._turn if is_final else None
        said: list[SendHttp] = []
        command: Any
        while True:
            try:
                command = course.send(reply)
            except StopIteration:
                break
            reply = None
            if is_more(said, command):
                said.append(command)
                continue
            # That a stream is over is said to its layer alone, and may be heard first.
            if said and type(command) is not DropStream:
                yield from in_one(said)
                said = []
            if type(command) is GetHttpConnection and (reply := self._at_once(self, command)):
                continue
            # What a layer within this stream waits for is not the stream's to go on from.
            is_own = command.blocking is True and isinstance(command, commands.StartHook)
            if not (is_own and turn and turn.is_over(command)):
                reply = yield command
        yield from in_one(said)
        if self.client_state == self.state_errored:
            yield DropStream(self.stream_id)

    def _course(self, event: events.Event) -> Any:
        if isinstance(event, WholeRequest):
            return self._request(event)
        if isinstance(event, WholeResponse):
            return self._answer(event)
        if isinstance(event, OF_REQUEST):
            return self.client_state(event)
        if isinstance(event, OF_ANSWER):
            return self.server_state(event)
        return super()._handle_event(event)

    def _request(self, event: WholeRequest) -> layer.CommandGenerator[None]:
        yield from self.client_state(event)
        if self.client_state == self.state_consume_request_body:
            self.request_body_buf += event.content  # how long it is, its head has said
            yield from self.client_state(RequestEndOfMessage(self.stream_id))
            return
        for part in event.rest():
            yield from self.client_state(part)

    def _answer(self, event: WholeResponse) -> layer.CommandGenerator[None]:
        yield from self.server_state(event)
        if self.server_state == self.state_consume_response_body:
            answer: Any = self.flow.response  # a hook may have put another in its place
            answer.data.content = event.content
            yield from self.send_response()
            return
        for part in event.rest():
            yield from self.server_state(part)

    def send_response(self, already_streamed: bool = False) -> layer.CommandGenerator[None]:
        """Send an answer; one that came before its agent had said all ends the call."""
        if self.flow.response and self.flow.request.method == "HEAD":
            self.flow.response.data.content = b""
        yield from super().send_response(already_streamed)
        if (self.client_state, self.server_state) == (
            self.state_stream_request_body,
            self.state_done,
        ):
            yield from self._end_upload()

    def _end_upload(self) -> layer.CommandGenerator[None]:
        """Tell both sides that nobody reads the rest (RFC 9113, 8.1)."""
        client, id_ = self.context.client, self.stream_id
        yield SendHttp(ResponseEndOfMessage(id_), client)
        gone = RequestProtocolError(id_, ANSWERED, ErrorCode.CANCEL)
        yield SendHttp(gone, self.context.server)
        yield SendHttp(ResponseProtocolError(id_, ANSWERED, ErrorCode.CANCEL), client)
        self.client_state = self.state_errored
        self.flow.live = False

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        """Refuse a request above the limit; begin to pass on an answer that outgrows what we keep.

        True when the call ended here.
        """
        response = self.flow.response
        if request:
            return (yield from self._check_request())
        if response and len(self.response_body_buf) > KEPT_BYTES:
            begun = bytes(self.response_body_buf)
            self.response_body_buf.clear()
            response.stream = True
            yield from self.start_response_stream()
            yield from self.handle_event(ResponseData(self.stream_id, begun))
        return False

    def start_response_stream(self) -> layer.CommandGenerator[None]:
        """Begin to pass on an answer; mitmproxy logs a line of each, which says nothing new."""
        for command in super().start_response_stream():
            if not isinstance(command, commands.Log):
                yield command

    def flow_done(self) -> layer.CommandGenerator[None]:
        """End, and let go of the call, which would stay until the collector of cycles comes by."""
        yield from super().flow_done()
        if self.child_layer is None:
            ended: Any = self
            ended._handle_event = _nothing
            del self.flow

    def _check_request(self) -> layer.CommandGenerator[bool]:
        most = human.parse_size(self.context.options.body_size_limit)
        # What it says of itself is looked at before the first byte.
        size = len(self.request_body_buf) or body_size(self.flow.request) or 0
        if most is None or size <= most:
            return False
        if not self.request_body_buf:
            yield HttpRequestHeadersHook(self.flow)
        why = f"Interlock: the request body has more than {most} bytes (limit body_size_limit)"
        self.flow.error = Error(why)
        yield HttpErrorHook(self.flow)
        error = ResponseProtocolError(self.stream_id, why, ErrorCode.REQUEST_TOO_LARGE)
        yield SendHttp(error, self.context.client)
        self.client_state = self.state_errored
        self.flow.live = False
        return True


def _nothing(_: events.Event) -> layer.CommandGenerator[None]:
    yield from ()


def _must_not_wait(response: http.Response) -> bool:
    told = index_of(response.data.headers)
    lengths = told.get(b"content-length", ())
    if len(lengths) == 1 and lengths[0].isdigit() and int(lengths[0]) > KEPT_BYTES:
        return True
    return b", ".join(told.get(b"content-type", ())).strip().lower().startswith(STREAMED_TYPES)
