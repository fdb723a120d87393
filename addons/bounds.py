"""How much a peer of HTTP/1 may send of what cannot be read yet."""

import logging
import time
from collections.abc import Iterable

from mitmproxy import connection
from mitmproxy.net.http.http1 import assemble_response
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.utils import human

from addons.door import Door
from addons.head import begun, too_long

log = logging.getLogger(__name__)


class Bounded(HttpLayer):
    """An HTTP layer on which no head, line of a chunk or trailer grows without end."""

    door: Door

    def watch(self, peer: connection.Connection) -> Iterable[commands.Command]:
        """Look at what is kept of a peer that has sent something; cut off what is too much."""
        known = self.connections.get(peer)
        reader = known.context.layers[-1] if known else None
        if peer is self.context.client:
            self._note_begun(peer, reader)
        if isinstance(reader, (Http1Server, Http1Client)):
            kept = len(reader.buf._data)
            if kept > self.door.limits.header_bytes and kept > self._most_of(reader):
                return self._cut(peer)
        return ()

    def _note_begun(self, client: connection.Connection, reader: layer.Layer | None) -> None:
        """Remember since when an agent is at the same head."""
        half = begun(reader) if reader else None
        if half:
            self.door.begun.setdefault(client.id, time.monotonic())
        elif half is False:
            self.door.begun.pop(client.id, None)

    def _most_of(self, reader: Http1Connection) -> int:
        """How much there may be of what a peer of HTTP/1 sent and what cannot be read yet.

        That is a head, the line of a chunk or trailers without end; or, before we have answered,
        the requests that follow, of which one may have its body there already.
        """
        most = self.door.limits.header_bytes
        if reader.state == reader.wait:
            most += human.parse_size(self.context.options.body_size_limit) or 0
        return most

    def _cut(self, peer: connection.Connection) -> layer.CommandGenerator[None]:
        """Read no more of it; an agent is told why, an upstream is given up."""
        most, reader = self.door.limits.header_bytes, reader_of(self, peer)
        log.warning("a head of more than %s bytes (limit interlock_header_bytes)", most)
        if peer is self.context.client:
            if reader and reader.state == reader.read_headers:
                answer = too_long(most)
                answer.headers["connection"] = "close"
                yield commands.SendData(peer, assemble_response(answer))
            yield commands.CloseConnection(peer)
        elif known := self.connections.get(peer):
            yield from self.event_to_child(known, events.ConnectionClosed(peer))


def reader_of(http_layer: HttpLayer, peer: connection.Connection) -> Http1Connection | None:
    """What reads HTTP/1 from a peer; None where nothing does."""
    known = http_layer.connections.get(peer)
    reader = known.context.layers[-1] if known else None
    return reader if isinstance(reader, (Http1Server, Http1Client)) else None
