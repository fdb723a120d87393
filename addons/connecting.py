"""Which connection a call gets: through the parent, with its certificate, its agent's own, or none.

Agents whose calls come over one connection, as they may at a base URL behind a gateway, share none
of HTTP/1 to an upstream: whatever it says too much would be the answer to the next of them.
"""

from typing import cast

from mitmproxy import connection, http
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HttpStream,
)

from addons.clearance import Clearance
from addons.client_certificate import granted_to, is_fit
from addons.door import Door, Shown
from addons.ending import OURS
from addons.parent import parent_of, require_tunnel


class Connecting(HttpLayer):
    """An HTTP layer that gives no connection to a call that must not have it."""

    door: Door
    # To upstreams, and whose calls each has carried.
    lent: dict[connection.Connection, str]

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
        if cleared:
            yield from self._part(cleared.verdict.agent.name)
        yield from self._connect(event, granted_to(cleared), reuse)

    def at_hand(self, flow: http.HTTPFlow, asked: GetHttpConnection) -> connection.Server | None:
        """The connection that a call gets at once; None where `get_connection` has to see to it.

        That is one without a parent or a certificate, which is there, and which this very call may
        be put on.
        """
        door, client = self.door, self.context.client
        cleared = door.clearances.get(flow.id)
        is_plain = not (door.certificates or flow in door.refused or parent_of(client))
        if cleared is None or not is_plain or granted_to(cleared):
            return None
        for known in self.connections:
            if asked.connection_spec_matches(known):
                is_open = known.connected and not known.error
                is_busy = known in self.waiting_for_establishment
                is_slower = client.alpn == b"h2" != known.alpn
                is_own = known.alpn == b"h2" or self.lent.get(known) == cleared.verdict.agent.name
                is_free = is_open and is_own and not (is_busy or is_slower)
                return cast(connection.Server, known) if is_free else None
        return None

    def _part(self, agent: str) -> layer.CommandGenerator[None]:
        """Close what carried calls of other agents, one at a time and so none now."""
        if self.context.client.alpn == b"h2":  # each call gets one of its own, or a stream of one
            return
        for server, whose in list(self.lent.items()):
            if server.alpn != b"h2" and whose != agent:
                del self.lent[server]
                yield commands.CloseConnection(server)

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
            if known.timestamp_end is not None
            and isinstance(known, connection.Server)
            and known not in used
            and known not in self.waiting_for_establishment
        ]:
            del self.connections[ended]
            self.lent.pop(ended, None)
