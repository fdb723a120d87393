"""The wire boundary: token out of the flow, secret onto the wire; secret off the wire, redacted.

The flow that mitmproxy, its user interfaces and every other addon see holds the token only. The
exchange happens below the flow, in the layer that hands requests to server connections, where
the real connection is known. Nothing passes here without a clearance from the gate.
"""

import logging
import re
from dataclasses import replace
from typing import Any

from mitmproxy import connection, ctx, http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HttpStream,
)
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addons import refusals
from addons.clearance import Clearance, Refused, check_unchanged, is_verified
from addons.door import Door
from addons.passage import Credentialed, Guarded, Passage, broken
from broker import BrokerError, Secret, Wire, token_in
from interlock.model import Authority
from interlock.verdict import Capability

log = logging.getLogger(__name__)

# Our own words in an error; whatever else stands there may quote an upstream.
OURS = "Interlock: "
# Where mitmproxy's log lines begin to quote.
QUOTES = re.compile(r"[:'\"]")
LONGEST_HEAD = 256 << 10
# What went wrong behind us; the request itself was read to its end.
EXPLAINED = (ErrorCode.CONNECT_FAILED, ErrorCode.GENERIC_SERVER_ERROR)


class BoundaryLayer(HttpLayer):
    """mitmproxy's HTTP layer with a guard at the two points where bytes change sides."""

    door: Door
    passages: dict[int, Passage]

    @classmethod
    def guard(cls, plain: Any, door: Door) -> None:
        """Turn a plain HTTP layer into this one, before it has seen its first byte."""
        plain.__class__ = cls
        plain.door = door
        plain.passages = {}

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Let nothing that breaks in here leave a call hanging, or an oversized head grow on."""
        try:
            yield from super()._handle_event(event)
        except Exception:
            log.exception("the HTTP layer failed; the connection is closed")
            yield commands.CloseConnection(self.context.client)
            return
        if isinstance(event, events.DataReceived) and self._head_is_too_long():
            log.warning("a request head of more than %s bytes; connection closed", LONGEST_HEAD)
            yield commands.CloseConnection(self.context.client)

    def event_to_child(
        self, child: layer.Layer, event: events.Event
    ) -> layer.CommandGenerator[None]:
        """Guard every event and every log line; both may quote what a peer sent."""
        for command in self._guarded(child, event):
            if isinstance(command, commands.Log):
                command.message = QUOTES.split(command.message, maxsplit=1)[0].rstrip()
            yield command

    def get_connection(
        self, event: GetHttpConnection, *, reuse: bool = True
    ) -> layer.CommandGenerator[None]:
        """Forget connections that ended, which mitmproxy keeps as long as the agent's."""
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
        yield from super().get_connection(event, reuse=reuse)

    def _head_is_too_long(self) -> bool:
        agent = self.connections.get(self.context.client)
        return (
            isinstance(agent, Http1Server)
            and agent.state == agent.read_headers
            and len(agent.buf) > LONGEST_HEAD
        )

    def _guarded(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        """Guard every event between the stream (the flow's side) and a server connection."""
        if isinstance(child, HttpStream):
            if isinstance(event, ResponseHeaders) and event.response.status_code < 200:
                # An interim answer that mitmproxy takes for the final one; the real one would
                # then be the answer to the next request on this connection, whoever sends it.
                yield commands.CloseConnection(child.flow.server_conn)
                event = broken(event.stream_id, "the upstream sent an interim or upgrade answer")
            for passed in self._inward(child, event):
                yield from super().event_to_child(child, passed)
            return
        if isinstance(event, RequestHeaders):
            event = self._outward(event)
        elif isinstance(event, RequestData):
            event = replace(event, data=self._passage(event).content(event.data))
        elif isinstance(event, RequestProtocolError):
            self.passages.pop(event.stream_id, None)
        elif isinstance(event, ResponseProtocolError):
            for part in self._explained(event):
                yield from super().event_to_child(child, part)
            return
        yield from super().event_to_child(child, event)

    def _inward(self, stream: HttpStream, event: events.Event) -> list[events.Event]:
        """What the stream gets to see in place of `event`."""
        if isinstance(event, GetHttpConnectionCompleted):
            return [self._admit(stream, event)]
        passage = self.passages.get(stream.stream_id)
        if passage is None:
            # An answer that nobody is waiting for any more; unscrubbed, it reaches nobody.
            return [] if isinstance(event, (ResponseHeaders, ResponseData)) else [event]
        if isinstance(event, ResponseEndOfMessage):
            del self.passages[stream.stream_id]
        elif isinstance(event, ResponseProtocolError):
            del self.passages[stream.stream_id]
            if not event.message.startswith(OURS):
                event = broken(event.stream_id, "the upstream's answer broke off or is not HTTP")
        return passage.inward(event)

    def _outward(self, event: RequestHeaders) -> RequestHeaders:
        """What the server connection gets to see: the secret, in a copy of the request."""
        return replace(event, request=self._passage(event).outward(event.request))

    def _passage(self, event: RequestHeaders | RequestData) -> Passage:
        passage = self.passages.get(event.stream_id)
        if passage is None:
            raise RuntimeError("a request reached the wire without a passage")
        return passage

    def _explained(self, event: ResponseProtocolError) -> list[events.Event]:
        """An error of the upstream, as an answer that the agent's SDK can read.

        Only where nothing of an answer has left yet; else the connection must break off.
        """
        stream = self.streams.get(event.stream_id)
        if stream is None or event.code not in EXPLAINED or stream.flow.response:
            return [event]
        answer = refusals.broken_off(stream.flow, event.message)
        return [
            ResponseHeaders(event.stream_id, answer),
            ResponseData(event.stream_id, answer.content or b""),
            ResponseEndOfMessage(event.stream_id),
        ]

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
            self.passages[stream.stream_id] = self._pass(stream.flow, clearance, server)
        except (Refused, BrokerError) as e:
            log.warning("refused at the wire: %s", e)
            return GetHttpConnectionCompleted(event.command, (None, f"Interlock: {e}"))
        except Exception:
            log.exception("the wire boundary failed; the call is refused")
            return GetHttpConnectionCompleted(event.command, (None, "Interlock: refused"))
        return event

    def _pass(
        self, flow: http.HTTPFlow, clearance: Clearance | None, server: connection.Server
    ) -> Passage:
        """Check that this is the very request that was judged; redeem its token."""
        if clearance is None:
            raise Refused("the request was not cleared, or was sent already")
        check_unchanged(flow.request, clearance)
        if self.door.governor is None:
            raise Refused("the governor is closed")
        account = self.door.accounts[flow.id]
        mask = self.door.governor.mask_at(clearance.authority)
        capability = clearance.verdict.capability
        if capability is None:
            return Guarded(account, mask) if mask else Passage(account)
        secret = self._redeem(flow.request, clearance, capability, server)
        return Credentialed(account, mask, flow.request, capability.recipe, secret)

    def _redeem(
        self,
        request: http.Request,
        clearance: Clearance,
        capability: Capability,
        server: connection.Server,
    ) -> Secret:
        """Exchange the token that the flow carries; raises Refused or broker.BrokerError."""
        governor = self.door.governor
        if governor is None:
            raise Refused("the governor is closed")
        recipe = capability.recipe
        values = request.headers.get_all(recipe.slot)
        token = token_in(recipe.slot, values[0]) if len(values) == 1 else None
        if token is None:
            raise Refused(f"the token is missing from {recipe.slot}")
        wire = Wire(
            method=request.method,
            authority=str(Authority(*server.address[:2])) if server.address else "",
            path=request.path,
            body_sha256=clearance.verdict.call.body_sha256,
            verified=is_verified(server, clearance.authority),
        )
        return governor.redeem(clearance.verdict, capability, token, wire)


class Inject:
    """Puts the boundary in place of every HTTP layer."""

    def __init__(self, door: Door) -> None:
        self._placer = Placer(door)

    def running(self) -> None:
        """Go to the end of the chain: the layer must have been chosen when we replace it."""
        ctx.master.addons.add(self._placer)

    def done(self) -> None:
        """Leave with the script."""
        if ctx.master.addons.get("placer"):
            ctx.master.addons.remove(self._placer)


class Placer:
    """Turns the HTTP layer that mitmproxy chose into our boundary."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Find the HTTP layer in the stack that was chosen (base-URL mode wraps it in TLS)."""
        found: Any = nextlayer.layer
        while found is not None:
            if type(found) is HttpLayer:
                BoundaryLayer.guard(found, self._door)
                return
            found = getattr(found, "child_layer", None)
