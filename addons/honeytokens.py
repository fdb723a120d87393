"""Watches for planted keys in every request, before anything else reads or strips it."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from functools import partial

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from addons import refusals, views
from addons.door import Door
from addons.fail_closed import fail_closed
from addons.identity import agent_of
from addons.offer import take_offer
from addons.proofs import is_proof, prepare
from addons.wire import authority_of
from broker.detector import PIECE, Detector
from interlock.alerts.alarm import HIDDEN, discreet, raise_alarm
from interlock.alerts.sighting import Place, Sighting, look_in_body, look_in_head
from interlock.errors import IdentityError
from interlock.governor import Governor
from interlock.model import UNIDENTIFIED, Agent, Authority, Request
from interlock.verdict import Verdict

log = logging.getLogger(__name__)

KEPT_MESSAGES, KEPT_BYTES = 16, 1 << 20
RAISED = "interlock_honeytoken"


class Honeytokens:
    """Refuses a call with a planted key in both modes: that is no policy, it is a break-in.

    It stands before the addon that identifies, because that takes headers off, and because a
    caller with a wrong proof is watched too.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    @fail_closed
    def http_connect(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Look at a CONNECT, its Proxy-Authorization included."""
        return self.requestheaders(flow)

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Look at a head as soon as it is there, however long the body will take."""
        governor, detector = self._watching()
        if not detector:
            return None
        sighting = look_in_head(detector, _target(flow), flow.request.headers.fields)
        return self._raise(governor, flow, sighting) if sighting else None

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Look at a body that is complete, and at its trailers."""
        governor, detector = self._watching()
        if not detector or RAISED in flow.metadata:
            return None
        return self._look(governor, detector, flow)

    async def _look(self, governor: Governor, detector: Detector, flow: http.HTTPFlow) -> None:
        body = flow.request.raw_content or b""
        coding = flow.request.headers.get("content-encoding", "")
        trailers = flow.request.trailers
        sighting = look_in_head(detector, (), trailers.fields) if trailers else None
        if not sighting:
            sighting = await _look_into(detector, body, coding)
        if sighting:
            await self._raise(governor, flow, sighting)

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Forget what was said long ago; the wire boundary has looked at all of it."""
        if flow.websocket:
            forget(flow.websocket.messages)

    def _watching(self) -> tuple[Governor, Detector]:
        governor = self._door.governor
        if governor is None:
            raise RuntimeError("the governor is not open")
        return governor, governor.installation.honeytokens.detector

    async def _raise(self, governor: Governor, flow: http.HTTPFlow, sighting: Sighting) -> None:
        flow.metadata[RAISED] = sighting.honeytoken
        agent = await self._caller(flow)
        verdict = await raise_alarm(governor, _request(flow), agent, sighting)
        log.warning("ALERT %s", views.show(flow, verdict))
        flow.response = refusals.refused(discreet(verdict))
        if flow.request.method == "HEAD":
            flow.response.content = b""

    async def _caller(self, flow: http.HTTPFlow) -> Agent:
        """Who it is, if that is proven; a claim would let anybody cut off anybody."""
        known = self._door.callers.get(flow.id)
        tunnel = self._door.tunnels.get(flow.client_conn.id)
        try:
            offer = take_offer(flow.request.headers.copy(), partial(is_proof, self._door))
            proof = known.proof if known else offer.proof(tunnel)
            if waits := prepare(self._door, proof):
                await waits
            return agent_of(self._door, flow, proof)
        except IdentityError:
            return UNIDENTIFIED


async def _look_into(detector: Detector, body: bytes, coding: str) -> Sighting | None:
    """Look into a body, without keeping others waiting for a long one."""
    if len(body) <= PIECE and not coding:
        return look_in_body(detector, body, coding)
    return await asyncio.to_thread(look_in_body, detector, body, coding)


def forget(messages: list[WebSocketMessage]) -> None:
    """Keep the last messages of a conversation for people to look at; mitmproxy keeps all."""
    kept, size = 0, 0
    for message in reversed(messages):
        size += len(message.content)
        if kept and (kept == KEPT_MESSAGES or size > KEPT_BYTES):
            break
        kept += 1
    del messages[:-kept]


def sound(governor: Governor, verdict: Verdict, honeytoken: str) -> None:
    """Raise the alarm for a message of a running call; whoever calls lets none of it pass."""
    alarm = raise_alarm(
        governor, verdict.call.request, verdict.agent, Sighting(honeytoken, "message")
    )
    task = asyncio.get_running_loop().create_task(alarm)
    _SOUNDING.add(task)
    task.add_done_callback(_SOUNDING.discard)


# The loop itself holds tasks weakly.
_SOUNDING: set[asyncio.Task[Verdict]] = set()


def _target(flow: http.HTTPFlow) -> Iterator[Place]:
    """What names the destination and the resource."""
    request = flow.request
    path, _, query = request.data.path.partition(b"?")
    yield "method", request.data.method
    yield "host", request.host.encode(errors="surrogateescape")
    yield "host", request.data.authority
    yield "host", (flow.client_conn.sni or "").encode(errors="surrogateescape")
    yield "path", path
    yield "query", query


def _request(flow: http.HTTPFlow) -> Request:
    """The little of a request that an alarm records."""
    try:
        authority = authority_of(flow)
    except ValueError:
        authority = Authority(HIDDEN, flow.request.port)
    source_ip = flow.client_conn.peername[0]
    return Request(flow.request.method, flow.request.scheme, authority, "/", source_ip=source_ip)
