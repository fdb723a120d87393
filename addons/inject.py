"""The wire boundary: token out of the flow, secret onto the wire; secret off the wire, redacted.

The flow that mitmproxy, its user interfaces and every other addon see holds the token only. The
exchange happens below the flow, in the layer that hands requests to server connections, where
the real connection is known. Nothing passes here without a clearance from the gate.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mitmproxy import connection, http
from mitmproxy.net.http.http1 import assemble_response
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
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
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.utils import human

from addons.admission import admit
from addons.broken import ANSWERED, broken, explained, hang_up
from addons.clearance import Clearance, Refused
from addons.client_certificate import granted_to, is_fit
from addons.conversation import Breach, Conversation
from addons.destination import lead
from addons.door import Door, Shown
from addons.ending import BROKE_OFF, OURS
from addons.handshake import accepts
from addons.head import begun, too_long
from addons.mcp import Told
from addons.parent import parent_of, require_tunnel
from addons.passage import Passage
from addons.stream import StreamLayer
from broker import BrokerError

log = logging.getLogger(__name__)

# What is looked at before it leaves, and before a stream, the flow's side, gets to see it.
ON_THE_WIRE = (RequestHeaders, RequestData, RequestProtocolError, ResponseProtocolError)
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


class BoundaryLayer(HttpLayer):
    """mitmproxy's HTTP layer with a guard at the two points where bytes change sides."""

    door: Door
    passages: dict[int, Passage]
    tunnel: HttpStream | None

    @classmethod
    def guard(cls, plain: Any, door: Door) -> None:
        """Turn a plain HTTP layer into this one, before it has seen its first byte."""
        plain.__class__ = cls
        plain.door = door
        plain.passages = {}
        plain.tunnel = None
        if plain.mode is HTTPMode.upstream:
            # mitmproxy's way would tell the parent proxy plain requests, and of every CONNECT.
            plain.mode = HTTPMode.regular

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Let nothing that breaks in here leave a call hanging, or an oversized head grow on."""
        try:
            if isinstance(event, Told):
                yield from self._told(event)
                return
            if stream := self._tunnelled(event):
                yield from self._through(stream, event)
                return
            yield from super()._handle_event(event)
        except Exception:
            log.exception("the HTTP layer failed; the connection is closed")
            yield commands.CloseConnection(self.context.client)
            return
        if isinstance(event, events.DataReceived):
            if event.connection is self.context.client:
                self._note_begun(event.connection)
            if self._keeps_too_much(event.connection):
                yield from self._cut(event.connection)

    def _told(self, event: Told) -> layer.CommandGenerator[None]:
        """Add our own words to the answer of a stream, which may be inside one of the tunnels."""
        for stream in list(self.streams.values()):
            if getattr(stream, "flow", None) is event.flow:
                data = ResponseData(stream.stream_id, event.message)
                yield from self.event_to_child(self.connections[self.context.client], data)
            elif stream.child_layer:
                yield from self.event_to_child(stream, event)

    def _tunnelled(self, event: events.Event) -> HttpStream | None:
        """The stream of an established CONNECT, for what can go straight to what is in its tunnel.

        That is all but the end of the agent's side.
        """
        if self.tunnel is None:
            # The last one: a CONNECT that was refused before may still be there.
            stream = next(reversed(self.streams.values()), None)
            if not (stream and stream.child_layer and stream.flow.request.method == "CONNECT"):
                return None
            reader = self._reader(self.context.client)
            if not (reader and reader.state == reader.passthrough):
                return None
            self.tunnel = stream
        if isinstance(event, events.ConnectionEvent):
            from_agent = event.connection is self.context.client
            if from_agent and not isinstance(event, events.DataReceived):
                return None
            source = self.tunnel if from_agent else self.connections.get(event.connection)
        elif isinstance(event, events.CommandCompleted):
            source = self.command_sources.get(event.command)
        else:
            return None
        within = source is self.tunnel and self.tunnel.stream_id in self.streams
        return self.tunnel if within else None

    def _through(self, stream: HttpStream, event: events.Event) -> layer.CommandGenerator[None]:
        """Hand an event to what is in a tunnel.

        mitmproxy has every byte of it pass this layer, a reader of HTTP/1 and the stream first, to
        the same end.
        """
        if isinstance(event, events.CommandCompleted):
            del self.command_sources[event.command]
        inside: Any = stream.child_layer
        for command in inside.handle_event(event):
            if isinstance(command, commands.CloseConnection):
                if command.connection is self.context.client:
                    ended = ResponseProtocolError(
                        stream.stream_id, "EOF", ErrorCode.PASSTHROUGH_CLOSE
                    )
                    yield from self.event_to_child(self.connections[command.connection], ended)
                    continue
                if isinstance(command, commands.CloseTcpConnection):
                    command = commands.CloseConnection(command.connection)
            elif command.blocking or isinstance(command, commands.RequestWakeup):
                self.command_sources[command] = stream
                if isinstance(command, commands.OpenConnection):
                    self.connections[command.connection] = stream
            yield command

    def event_to_child(
        self, child: layer.Layer, event: events.Event
    ) -> layer.CommandGenerator[None]:
        """Guard what passes between a stream and a connection."""
        if isinstance(event, ResponseTrailers) and isinstance(child, Http1Server):
            # It cannot say them, and whoever speaks HTTP/1.1 was never promised any.
            return _nothing()
        guarded = INTO_THE_FLOW if isinstance(child, HttpStream) else ON_THE_WIRE
        hand_over = self._guarded if isinstance(event, guarded) else super().event_to_child
        if isinstance(child, ServerTLSLayer):
            return _without_farewell(child, hand_over(child, event))
        return hand_over(child, event)

    def get_connection(
        self, event: GetHttpConnection, *, reuse: bool = True
    ) -> layer.CommandGenerator[None]:
        """Give a refused call none; forget those that ended, which mitmproxy would keep."""
        asks = self.command_sources.get(event)
        flow = asks.flow if isinstance(asks, HttpStream) else None
        cleared = self.door.clearances.get(flow.id) if flow else None
        if asks and (why := self._why_none(event, flow, cleared)):
            del self.command_sources[event]
            completed = GetHttpConnectionCompleted(event, (None, OURS + why))
            yield from self.event_to_child(asks, completed)
            return
        self._forget_ended()
        yield from self._connect(event, granted_to(cleared), reuse)

    def _why_none(
        self, event: GetHttpConnection, flow: http.HTTPFlow | None, cleared: Clearance | None
    ) -> str:
        """Say why a call gets no connection; else send it through the parent, if there is one."""
        if flow in self.door.refused:
            return "refused"
        event.via = parent_of(self.context.client)
        try:
            if event.via:
                require_tunnel(event, cleared, self.door.private)
        except PermissionError as e:
            return f"refused to dial: {e}"
        return ""

    def _connect(
        self, event: GetHttpConnection, wanted: Shown | None, reuse: bool
    ) -> layer.CommandGenerator[None]:
        """Get a connection that shows the certificate which this call was granted, or none.

        The others are out of sight meanwhile. The one that this layer began with cannot be; were
        it unfit, the call would be refused when it is admitted.
        """
        if wanted is None and not self.door.certificates:
            yield from super().get_connection(event, reuse=reuse)
            return
        known = dict(self.connections)
        for each in known:
            if not isinstance(each, connection.Server) or each is self.context.server:
                continue
            if not is_fit(self.door, each, wanted):
                del self.connections[each]
        yield from super().get_connection(event, reuse=reuse)
        for made in self.connections.keys() - known.keys():
            if wanted and isinstance(made, connection.Server):
                self.door.certificates[made] = wanted
        self.connections |= known

    def _forget_ended(self) -> None:
        used = {stream.context.server for stream in self.streams.values()}
        for ended in [
            known
            for known in self.connections
            if isinstance(known, connection.Server)
            and known.timestamp_end is not None
            and known not in used
            and known not in self.waiting_for_establishment
        ]:
            del self.connections[ended]

    def _note_begun(self, client: connection.Connection) -> None:
        """Remember since when an agent is at the same head."""
        known = self.connections.get(client)
        half = begun(known.context.layers[-1]) if known else None
        if half:
            self.door.begun.setdefault(client.id, time.monotonic())
        elif half is False:
            self.door.begun.pop(client.id, None)

    def _keeps_too_much(self, peer: connection.Connection) -> bool:
        """Say whether a peer of HTTP/1 sent more than there may be of what cannot be read yet.

        That is a head, the line of a chunk or trailers without end; or, before we have answered,
        the requests that follow, of which one may have its body there already.
        """
        reader = self._reader(peer)
        if reader is None:
            return False
        most = self.door.limits.header_bytes
        if reader.state == reader.wait:
            most += human.parse_size(self.context.options.body_size_limit) or 0
        return len(reader.buf) > most

    def _cut(self, peer: connection.Connection) -> layer.CommandGenerator[None]:
        """Read no more of it; an agent is told why, an upstream is given up."""
        most, reader = self.door.limits.header_bytes, self._reader(peer)
        log.warning("a head of more than %s bytes (limit interlock_header_bytes)", most)
        if peer is self.context.client:
            if reader and reader.state == reader.read_headers:
                answer = too_long(most)
                answer.headers["connection"] = "close"
                yield commands.SendData(peer, assemble_response(answer))
            yield commands.CloseConnection(peer)
        elif known := self.connections.get(peer):
            yield from self.event_to_child(known, events.ConnectionClosed(peer))

    def _reader(self, peer: connection.Connection) -> Http1Connection | None:
        known = self.connections.get(peer)
        reader = known.context.layers[-1] if known else None
        return reader if isinstance(reader, (Http1Server, Http1Client)) else None

    def _guarded(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        """Guard every event between the stream (the flow's side) and a server connection."""
        if isinstance(child, HttpStream):
            if isinstance(event, RequestHeaders):
                here, routes = self.context, self.door.routes
                child.context.server = lead(here.client, here.server, event.request, routes)
            passage = self.passages.get(child.stream_id)
            talk = passage.talk if passage else None
            if talk and talk.open and isinstance(event, (RequestData, ResponseData)):
                yield from self._relay(child, talk, event)
                return
            if isinstance(event, ResponseHeaders) and event.response.status_code < 200:
                if talk and accepts(event.response, child.flow.request):
                    talk.open = True
                # An interim answer that mitmproxy takes for the final one; the real one would
                # then be the answer to the next request on this connection, whoever sends it.
                else:
                    yield commands.CloseConnection(child.flow.server_conn)
                    why = "the upstream sent an interim or upgrade answer"
                    event = broken(event.stream_id, why)
            for passed in self._inward(child, event):
                yield from super().event_to_child(child, passed)
                if isinstance(passed, ResponseProtocolError) and passed is not event:
                    yield from self._give_up(child, passed)
            return
        if isinstance(event, RequestHeaders):
            event = self._outward(event)
        elif isinstance(event, RequestData):
            try:
                event = RequestData(event.stream_id, self._passage(event).content(event.data))
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
                    yield from super().event_to_child(child, part)
            return
        yield from super().event_to_child(child, event)

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
            yield from super().event_to_child(stream, passed)

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

    def _inward(self, stream: HttpStream, event: events.Event) -> Iterator[events.Event]:
        """What the stream gets to see in place of `event`."""
        if isinstance(event, GetHttpConnectionCompleted):
            yield self._admit(stream, event)
            return
        passage = self.passages.get(stream.stream_id)
        if passage is None or not isinstance(event, HttpEvent):
            # An answer that nobody is waiting for any more; unscrubbed, it reaches nobody.
            if not isinstance(event, (ResponseHeaders, ResponseData, ResponseTrailers)):
                yield event
            return
        if isinstance(event, ResponseEndOfMessage) and not (passage.talk and passage.talk.open):
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
        for ended in self.passages.keys() - self.streams.keys():
            del self.passages[ended]
        self.streams[stream_id] = StreamLayer(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def _outward(self, event: RequestHeaders) -> RequestHeaders:
        """What the server connection gets to see: the secret, in a copy of the request."""
        sent = self._passage(event).outward(event.request)
        return RequestHeaders(event.stream_id, sent, event.end_stream, event.replay_flow)

    def _passage(self, event: RequestHeaders | RequestData) -> Passage:
        passage = self.passages.get(event.stream_id)
        if passage is None:
            raise RuntimeError("a request reached the wire without a passage")
        return passage

    def _admit(
        self, stream: HttpStream, event: GetHttpConnectionCompleted
    ) -> GetHttpConnectionCompleted:
        """Let the stream have the connection, or tell it that there is none, and why.

        Nothing waits between this and the request headers: what is checked here is what leaves.
        """
        server = event.reply[0]
        if not isinstance(server, connection.Server):
            return event
        clearance = self.door.clearances.pop(stream.flow.id, None)
        try:
            self.passages[stream.stream_id] = admit(self.door, stream.flow, clearance, server)
        except (Refused, BrokerError) as e:
            log.warning("refused at the wire: %s", e)
            return GetHttpConnectionCompleted(event.command, (None, f"{OURS}{e}"))
        except Exception:
            log.exception("the wire boundary failed; the call is refused")
            return GetHttpConnectionCompleted(event.command, (None, OURS + "refused"))
        return event


def _nothing() -> layer.CommandGenerator[None]:
    yield from ()


def _without_farewell(
    child: ServerTLSLayer, passed: Iterator[commands.Command]
) -> layer.CommandGenerator[None]:
    """Have an upstream's alert count for what it is.

    It counts as a farewell, after which mitmproxy tells nobody that the connection is closed: the
    call would wait for ever.
    """
    for command in passed:
        if isinstance(command, commands.Log) and command.message.startswith("TLS Error"):
            child.tls.set_shutdown(0)
        yield command
