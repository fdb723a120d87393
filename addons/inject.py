"""The wire boundary: token out of the flow, secret onto the wire; secret off the wire, redacted.

The flow that mitmproxy, its user interfaces and every other addon see holds the token only. The
exchange happens below the flow, in the layer that hands requests to server connections, where
the real connection is known. Nothing passes here without a clearance from the gate.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mitmproxy import connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HTTPMode,
    HttpStream,
)
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addons.admission import admit
from addons.bounds import Bounded
from addons.broken import ANSWERED, broken, explained, hang_up
from addons.carry import Carrying, is_one_of
from addons.clearance import Refused
from addons.connecting import Connecting
from addons.conversation import Breach, Conversation
from addons.destination import lead
from addons.door import Door
from addons.ending import BROKE_OFF, GONE, OURS
from addons.handshake import accepts
from addons.mcp import Told
from addons.passage import Passage
from addons.shortcut import Shortcut
from addons.stream import StreamLayer
from addons.whole import WholeRequest, WholeResponse, with_content
from broker import BrokerError, TokenError

log = logging.getLogger(__name__)

# What is looked at before it leaves, and before a stream, the flow's side, gets to see it.
ON_THE_WIRE = (RequestHeaders, RequestData, RequestProtocolError, ResponseProtocolError)
SAID_BEFORE = (RequestHeaders, RequestData)
INTO_THE_FLOW = (
    GetHttpConnectionCompleted,
    RequestHeaders,
    RequestData,
    RequestProtocolError,
    ResponseHeaders,
    ResponseData,
    ResponseTrailers,
    ResponseEndOfMessage,
    ResponseProtocolError,
)


class BoundaryLayer(Shortcut, Connecting, Bounded, Carrying):
    """mitmproxy's HTTP layer with a guard at the two points where bytes change sides."""

    door: Door
    passages: dict[int, Passage]

    @classmethod
    def guard(cls, plain: Any, door: Door) -> None:
        """Turn a plain HTTP layer into this one, before it has seen its first byte."""
        plain.__class__ = cls
        plain.door = door
        plain.passages, plain.lent = {}, {}
        plain.tunnel = plain.inside = None
        if plain.mode is HTTPMode.upstream:
            # mitmproxy's way would tell the parent proxy plain requests, and of every CONNECT.
            plain.mode = HTTPMode.regular

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Let nothing that breaks in here leave a call hanging, or an oversized head grow on.

        Nothing blocks this layer itself, so that it need not be kept from going on meanwhile.
        """
        try:
            if isinstance(event, Told):
                yield from self._told(event)
                return
            if stream := self.tunnelled(event):
                yield from self.through(stream, event)
                return
            yield from self._handle_event(event)
        except Exception:
            log.exception("the HTTP layer failed; the connection is closed")
            yield commands.CloseConnection(self.context.client)
            return
        if isinstance(event, events.DataReceived):
            yield from self.watch(event.connection)

    def _told(self, event: Told) -> layer.CommandGenerator[None]:
        """Add our own words to the answer of a stream, which may be inside one of the tunnels."""
        for stream in list(self.streams.values()):
            if getattr(stream, "flow", None) is event.flow:
                data = ResponseData(stream.stream_id, event.message)
                yield from self.event_to_child(self.connections[self.context.client], data)
            elif stream.child_layer:
                yield from self.event_to_child(stream, event)

    def event_to_child(
        self, child: layer.Layer, event: events.Event
    ) -> layer.CommandGenerator[None]:
        """Guard what passes between a stream and a connection."""
        kind: Any = type(event)
        if kind is ResponseTrailers and isinstance(child, Http1Server):
            # It cannot say them, and whoever speaks HTTP/1.1 was never promised any.
            return _nothing()
        if isinstance(child, HttpStream):
            if kind is RequestProtocolError and hasattr(child, "flow"):
                self.door.gone.add(child.flow)
            if not is_one_of(kind, INTO_THE_FLOW):
                return self.carry(child, event)
            passage = self.passages.get(child.stream_id)
            if isinstance(event, RequestHeaders):
                here, routes = self.context, self.door.routes
                child.context.server = lead(here.client, here.server, event.request, routes)
            if passage is None and is_one_of(kind, SAID_BEFORE):
                return self.carry(child, event)
            return self._into_the_flow(child, event, passage)
        return (self._on_the_wire if is_one_of(kind, ON_THE_WIRE) else self.carry)(child, event)

    def _into_the_flow(
        self, stream: HttpStream, event: events.Event, passage: Passage | None
    ) -> layer.CommandGenerator[None]:
        """Guard every event from a connection to the stream, the flow's side."""
        if isinstance(event, GetHttpConnectionCompleted):
            yield from self.carry(stream, self._admit(stream, event))
            return
        talk = passage.talk if passage else None
        if talk and talk.open and isinstance(event, (RequestData, ResponseData)):
            yield from self._relay(stream, talk, event)
            return
        if isinstance(event, ResponseHeaders) and event.response.status_code < 200:
            if talk and accepts(event.response, stream.flow.request):
                talk.open = True
            # An interim answer that mitmproxy takes for the final one; the real one would
            # then be the answer to the next request on this connection, whoever sends it.
            else:
                yield commands.CloseConnection(stream.flow.server_conn)
                why = "the upstream sent an interim or upgrade answer"
                event = broken(event.stream_id, why)
        for passed in self._inward(stream, event, passage):
            yield from self.carry(stream, passed)
            if isinstance(passed, ResponseProtocolError) and passed is not event:
                yield from self._give_up(stream, passed)

    def _on_the_wire(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        """Guard every event from a stream to a connection."""
        if isinstance(event, (RequestHeaders, RequestData)):
            try:
                event = self._outward(event)
            except Breach as breach:
                yield from self._break(child, event.stream_id, breach)
                return
        elif isinstance(event, RequestProtocolError):
            self.passages.pop(event.stream_id, None)
        elif isinstance(event, ResponseProtocolError):
            parts = explained(self.door, self.streams.get(event.stream_id), event)
            for part in parts:
                is_told = part is event and (part is not parts[0] or event.message == ANSWERED)
                if not (is_told and (yield from hang_up(child, event))):
                    yield from self.carry(child, part)
            return
        yield from self.carry(child, event)

    def _relay(
        self, stream: HttpStream, talk: Conversation, event: RequestData | ResponseData
    ) -> layer.CommandGenerator[None]:
        """Let the messages of an open WebSocket pass, or end it with a word to both sides."""
        if talk.over:
            return
        try:
            hear = talk.from_agent if isinstance(event, RequestData) else talk.from_server
            passed = replace(event, data=hear(event.data))
        except Breach as breach:
            log.warning("a WebSocket ended: %s", breach.why)
            passed = ResponseData(event.stream_id, talk.farewell(breach))
        if passed.data:
            yield from self.carry(stream, passed)

    def _break(
        self, upstream: layer.Layer, stream_id: int, breach: Breach
    ) -> layer.CommandGenerator[None]:
        """End a call over what the agent said, and tell both sides."""
        why = OURS + breach.why
        log.warning("a call ended: %s", breach.why)
        gone = RequestProtocolError(stream_id, why, ErrorCode.CANCEL)
        yield from self.event_to_child(upstream, gone)
        if stream := self.streams.get(stream_id):
            error = ResponseProtocolError(stream_id, why, ErrorCode.REQUEST_TOO_LARGE)
            yield from self.event_to_child(stream, error)

    def _inward(
        self, stream: HttpStream, event: events.Event, passage: Passage | None
    ) -> Iterator[events.Event]:
        """What the stream gets to see in place of `event`."""
        if passage is None or not isinstance(event, HttpEvent):
            # An answer that nobody is waiting for any more; unscrubbed, it reaches nobody.
            if not isinstance(event, (ResponseHeaders, ResponseData, ResponseTrailers)):
                yield event
            return
        is_end = isinstance(event, (ResponseEndOfMessage, WholeResponse))
        if is_end and not (passage.talk and passage.talk.open):
            del self.passages[stream.stream_id]
        elif isinstance(event, ResponseProtocolError):
            del self.passages[stream.stream_id]
            if not event.message.startswith(OURS):
                event = broken(event.stream_id, f"{BROKE_OFF} or is not HTTP")
        for passed in passage.inward(event):
            if isinstance(passed, ResponseProtocolError):
                self.passages.pop(stream.stream_id, None)
            yield passed

    def _give_up(
        self, stream: HttpStream, error: ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Tell the upstream that nobody reads the rest of an answer that was broken off."""
        if upstream := self.connections.get(stream.flow.server_conn):
            gone = RequestProtocolError(error.stream_id, error.message, ErrorCode.CANCEL)
            yield from self.event_to_child(upstream, gone)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Have calls handled by a stream that keeps no large answer; forget those that ended."""
        if self.passages:
            for ended in self.passages.keys() - self.streams.keys():
                del self.passages[ended]
        stream = self.streams[stream_id] = StreamLayer(
            self.context.fork(), stream_id, self._at_once
        )
        stream.mode = self.mode
        yield from stream.handle_event(events.Start())

    def _outward(self, event: RequestHeaders | RequestData) -> RequestHeaders | RequestData:
        """What the server connection gets to see: the secret, in a copy of the request."""
        passage = self.passages.get(event.stream_id)
        if passage is None:
            raise RuntimeError("a request reached the wire without a passage")
        if isinstance(event, RequestData):
            return RequestData(event.stream_id, passage.content(event.data))
        sent = passage.outward(event.request)
        head = RequestHeaders(event.stream_id, sent, event.end_stream, event.replay_flow)
        if isinstance(event, WholeRequest):
            content = passage.content(event.content) if event.content else b""
            head = with_content(head, content)
        return head

    def _at_once(
        self, stream: HttpStream, asked: GetHttpConnection
    ) -> tuple[connection.Connection | None, str | None] | None:
        """The answer to a stream whose connection is there already, or whose call is refused."""
        server = self.at_hand(stream.flow, asked)
        if server is None:
            return None
        return self._admit(stream, GetHttpConnectionCompleted(asked, (server, None))).reply

    def _admit(
        self, stream: HttpStream, event: GetHttpConnectionCompleted
    ) -> GetHttpConnectionCompleted:
        """Let the stream have the connection, or tell it that there is none, and why.

        Nothing waits between this and the request headers: what is checked here is what leaves.
        """
        server = event.reply[0]
        if why := _given_up(stream):
            return GetHttpConnectionCompleted(event.command, (None, why))
        if not isinstance(server, connection.Server):
            return event
        clearance = self.door.clearances.pop(stream.flow.id, None)
        try:
            self.passages[stream.stream_id] = admit(self.door, stream.flow, clearance, server)
        except (Refused, BrokerError) as e:
            log.warning("refused at the wire: %s", e)
            # Which token it was is in the log alone.
            why = e.why if isinstance(e, TokenError) else str(e)
            return GetHttpConnectionCompleted(event.command, (None, OURS + why))
        except Exception:
            log.exception("the wire boundary failed; the call is refused")
            return GetHttpConnectionCompleted(event.command, (None, OURS + "refused"))
        self.lent[server] = self.door.accounts[stream.flow.id].verdict.agent.name
        return event


def _given_up(stream: HttpStream) -> str:
    """With what a call ended while it waited for a connection; empty where it goes on."""
    if stream.context.client.state is connection.ConnectionState.CLOSED:
        return GONE
    said = stream._paused_event_queue
    return next((one.message for one in said if isinstance(one, RequestProtocolError)), "")


def _nothing() -> layer.CommandGenerator[None]:
    yield from ()
