"""How much one agent may ask for at once: connections, requests a second, time for a head."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable

from mitmproxy import connection, http

from addons import refusals
from addons.background import Background
from addons.cutoff import cut
from addons.door import Door
from addons.fail_closed import fail_closed
from addons.identity import shape_of
from addons.rpc import is_rpc

log = logging.getLogger(__name__)

POLL_S = 0.5
# How long a connection that is one too many stays open, to be told so.
FAREWELL_S = 2.0
# How long a refusal is held back, so that who asks on and on does not take the others' time.
HELD_S = 0.25


class Throttle:
    """Stands behind the identification: who is nobody is counted by the address."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: dict[str, set[str]] = {}  # who -> connections
        self._silent: dict[str, float] = {}  # connection -> since when it owes us its first head
        self._bodies: dict[str, tuple[str, float]] = {}  # call -> connection, since when it owes
        self._background = Background()

    def running(self) -> None:
        """Begin to look for connections on which no head comes."""
        self._background.begin(self._watch)

    def done(self) -> None:
        """Stop looking."""
        self._background.stop()

    def client_connected(self, client: connection.Client) -> None:
        """A head is due."""
        self._silent[client.id] = time.monotonic()

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget the connection."""
        self._silent.pop(client.id, None)
        self._door.begun.pop(client.id, None)
        for flow_id, (client_id, _) in list(self._bodies.items()):
            if client_id == client.id:
                del self._bodies[flow_id]
        for who, clients in list(self._open.items()):
            clients.discard(client.id)
            if not clients:
                del self._open[who]

    @fail_closed
    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Count a tunnel; the head of its first request is due."""
        self._silent[flow.client_conn.id] = time.monotonic()
        tunnel = self._door.tunnels.get(flow.client_conn.id)
        if tunnel and not flow.response:
            self._count(flow, tunnel.who)

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Count a request; its body is due."""
        client_id, now = flow.client_conn.id, time.monotonic()
        self._silent.pop(client_id, None)
        if not is_rpc(flow.request):
            self._bodies[flow.id] = client_id, now
        caller = self._door.callers.get(flow.id)
        if caller is None or flow.response or flow.error:
            return None
        self._count(flow, caller.who)
        most = self._door.limits.max_rate
        if flow.response or self._door.rates is None:
            return None
        wait = self._door.rates.take(caller.who, most, now)
        if not wait:
            return None
        why = f"more than {most} requests a second (limit interlock_max_rate)"
        flow.response = refusals.plain(429, why, shape_of(self._door, flow))
        flow.response.headers["Retry-After"] = str(math.ceil(wait))
        return asyncio.sleep(HELD_S)

    def request(self, flow: http.HTTPFlow) -> None:
        """The body is there."""
        self._bodies.pop(flow.id, None)

    def error(self, flow: http.HTTPFlow) -> None:
        """It will not come."""
        self._bodies.pop(flow.id, None)

    def _count(self, flow: http.HTTPFlow, who: str) -> None:
        """Have a connection be one of somebody's, or refuse it."""
        most = self._door.limits.max_connections
        clients = self._open.setdefault(who, set())
        if flow.client_conn.id not in clients and len(clients) >= most:
            why = f"more than {most} connections at once (limit interlock_max_connections)"
            flow.response = refusals.plain(429, why, shape_of(self._door, flow))
            flow.response.headers["Retry-After"] = "1"
            asyncio.get_running_loop().call_later(FAREWELL_S, cut, flow.client_conn.id)
            return
        clients.add(flow.client_conn.id)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            limits, now = self._door.limits, time.monotonic()
            for waiting in (self._silent, self._door.begun):
                for client_id, since in list(waiting.items()):
                    if since < now - limits.header_timeout:
                        waiting.pop(client_id, None)
                        _cut_late(client_id, "header", limits.header_timeout)
            for flow_id, (client_id, since) in list(self._bodies.items()):
                if since < now - limits.body_timeout:
                    self._bodies.pop(flow_id, None)
                    _cut_late(client_id, "body", limits.body_timeout)


def _cut_late(client_id: str, what: str, most: int) -> None:
    log.warning("no %s within %s s (limit interlock_%s_timeout)", what, most, what)
    cut(client_id)
