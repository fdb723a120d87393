"""Both ends of HTTP/2, with a bound that mitmproxy has not: on frames that ask for nothing."""

import logging
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import h2.errors
import h2.events
from h2.stream import StreamClosedBy
from mitmproxy.connection import Client
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http._http2 import (
    Http2Client,
    Http2Connection,
    Http2Server,
    StreamState,
)
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.conversation import Breach, Pace
from addons.door import Door
from addons.ending import GONE

log = logging.getLogger(__name__)

# What costs us an answer, a log line or a call begun in vain (CVE-2019-9511 to 9518, 2023-44487).
COSTLY = (
    h2.events.StreamReset,
    h2.events.PingReceived,
    h2.events.PingAckReceived,
    h2.events.RemoteSettingsChanged,
    h2.events.SettingsAcknowledged,
    h2.events.PriorityUpdated,
    h2.events.InformationalResponseReceived,
    h2.events.AlternativeServiceAvailable,
    h2.events.UnknownFrameReceived,
)


# A reset is a call that was begun in vain, and counts as so many frames.
OF_A_RESET = 10
# How many characters a word of farewell has at most.
LONGEST_WORD = 200


class Bounded(Http2Connection):
    """One side that may send so many costly frames a second, and no more."""

    door: ClassVar[Door]

    def __init__(self, context: Context, *more: Any) -> None:
        super().__init__(context, *more)
        most = self.door.limits.control_rate
        self._pace = Pace(most, what="control frames a second (limit interlock_control_rate)")

    def protocol_error(
        self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR
    ) -> layer.CommandGenerator[None]:
        """End the connection; of what it quotes, no more than there is room for in one frame."""
        yield from super().protocol_error(message[:LONGEST_WORD], error_code)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Handle it, or end the connection with a word (RFC 9113, 7, ENHANCE_YOUR_CALM)."""
        if _is_costly(event):
            try:
                for _ in range(OF_A_RESET if isinstance(event, h2.events.StreamReset) else 1):
                    self._pace.step()
            except Breach as breach:
                log.warning("a connection ended: %s", breach.why)
                calm = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
                yield from self.protocol_error(breach.why, calm)
                return True
        return (yield from super().handle_h2_event(event))


class AgentSide(Bounded, Http2Server):
    """The side of an agent; what waits for it to read is counted (addons/handler.py)."""

    waiting: ClassVar[WeakKeyDictionary[Client, BufferedH2Connection]] = WeakKeyDictionary()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.waiting[context.client] = self.h2_conn

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Handle it; a stream that ended and was reset in one breath is open until its reset.

        mitmproxy takes it for closed by its end, and passes over the reset: the call would leave.
        """
        is_over = yield from super().handle_h2_event(event)
        if isinstance(event, h2.events.StreamEnded) and self._is_reset(event.stream_id):
            self.streams[event.stream_id] = StreamState.HEADERS_RECEIVED
        return is_over

    def close_connection(self, msg: str) -> layer.CommandGenerator[None]:
        """End all calls of the connection; that they ended with their agent is said first."""
        yield from super().close_connection(f"{GONE}: {msg}")

    def _is_reset(self, stream_id: int) -> bool:
        closed_by: Any = self.h2_conn._stream_closed_by(stream_id)
        return closed_by is StreamClosedBy.RECV_RST_STREAM

    @classmethod
    def unread(cls, client: Client) -> int:
        """How many bytes of answers wait for a client to read."""
        talk = cls.waiting.get(client)
        queues = talk.stream_buffers.values() if talk else ()
        return sum(len(piece.data) for queue in queues for piece in queue)


class UpstreamSide(Bounded, Http2Client):
    """The side of an upstream."""


def take_over(door: Door) -> None:
    """Have every connection of HTTP/2 be one of these."""
    Bounded.door = door
    module: Any = http
    module.Http2Server, module.Http2Client = AgentSide, UpstreamSide


def _is_costly(event: h2.events.Event) -> bool:
    if isinstance(event, h2.events.DataReceived):
        return not event.data and not event.stream_ended
    return isinstance(event, COSTLY)
