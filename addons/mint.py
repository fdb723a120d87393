"""What an upstream hands out stays here; the flow, and the agent, get a placeholder for it."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Iterator
from concurrent.futures import Future

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from addons import refusals
from addons.broken import broken
from addons.door import Door
from addons.passage import Passage
from addons.stage import DIGESTS, Decode, Unreadable
from addons.whole import parts_of
from interlock.errors import StoreError
from interlock.minting.capture import MOST_BYTES
from interlock.verdict import Verdict

log = logging.getLogger(__name__)

# As long as a decision may take to be on disk.
DEADLINE_S = 5.0


class Minting(Passage):
    """A call whose answer may hold new tokens; the rest of it is up to another passage.

    The answer is held back until it is complete, taken apart, and only then given on. What
    cannot be read is refused: a token might be in it.
    """

    def __init__(self, door: Door, flow_id: str, verdict: Verdict, inner: Passage) -> None:
        self.talk = None
        self._door = door
        self._flow_id = flow_id
        self._verdict = verdict
        self._inner = inner
        self._decode = Decode(door.limits.decompression_ratio, chunked=False)
        self._held: list[HttpEvent] = []
        self._body = bytearray()

    def outward(self, request: http.Request) -> http.Request:
        """What the other passage puts in its place."""
        return self._inner.outward(request)

    def content(self, data: bytes) -> bytes:
        """What the other passage puts in its place."""
        return self._inner.content(data)

    def inward(self, event: HttpEvent) -> Iterator[events.Event]:
        """Hold an answer back until all of it is there."""
        for part in parts_of(event):
            for passed in self._part(part):
                yield passed
                if isinstance(passed, ResponseProtocolError):
                    return

    def _part(self, event: HttpEvent) -> Iterator[events.Event]:
        try:
            complete = self._held_back(event)
        except (Unreadable, ValueError) as e:
            yield broken(event.stream_id, f"the answer may hand out a token, and {e}")
            return
        for each in complete:
            yield from self._inner.inward(each)

    def _held_back(self, event: HttpEvent) -> list[HttpEvent]:
        """The events that may go on now; raises Unreadable or ValueError."""
        if isinstance(event, ResponseProtocolError):
            return [event]
        if isinstance(event, ResponseHeaders):
            response = self._decode.head(event.response, empty=event.end_stream)
            event = ResponseHeaders(event.stream_id, response, event.end_stream)
        elif isinstance(event, ResponseData):
            self._read(self._decode.feed(event.data))
            return []
        self._held.append(event)
        return self._complete(event.stream_id) if isinstance(event, ResponseEndOfMessage) else []

    def _read(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._body += piece
            if len(self._body) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES >> 10} KiB")

    def _complete(self, stream_id: int) -> list[HttpEvent]:
        self._read(self._decode.flush())
        head, *rest = self._held
        says = head.response.headers if isinstance(head, ResponseHeaders) else http.Headers()
        body = self._taken(bytes(self._body), says.get("content-type", ""))
        if not body or not isinstance(head, ResponseHeaders):
            return self._held
        response = head.response.copy()
        _reframe(response.headers, len(body))
        head = ResponseHeaders(stream_id, response, head.end_stream)
        return [head, ResponseData(stream_id, body), *rest]

    def _taken(self, body: bytes, content_type: str) -> bytes:
        """The body without its tokens, which are on their way to the disk; raises ValueError."""
        governor = self._door.governor
        if governor is None:
            raise ValueError("the governor is closed")
        taken = governor.mint(self._verdict, body, content_type)
        self._inner.hide(taken.mask)
        if taken.kept:
            self._door.mints[self._flow_id] = taken.kept
        return taken.body


class Mint:
    """Holds an answer with new placeholders until their tokens are safe on disk."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Let nothing of such an answer leave before `response`."""
        if flow.id in self._door.mints and flow.response:
            flow.response.stream = False

    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Wait for the disk; a placeholder of a token that is lost would be of no use."""
        kept = self._door.mints.pop(flow.id, None)
        return _keep(flow, kept) if kept else None

    def error(self, flow: http.HTTPFlow) -> None:
        """The agent went away; what it was handed is kept all the same."""
        self._door.mints.pop(flow.id, None)


async def _keep(flow: http.HTTPFlow, kept: Future[None]) -> None:
    try:
        await asyncio.wait_for(asyncio.wrap_future(kept), DEADLINE_S)
    except (sqlite3.Error, StoreError, TimeoutError) as e:
        log.error("a token that was handed out could not be kept: %s", e)
        flow.response = refusals.plain(503, "the token that was handed out cannot be kept")


def _reframe(headers: http.Headers, length: int) -> None:
    """Say of the new body what is true of it."""
    for name in (*DIGESTS, "etag", "transfer-encoding"):
        headers.pop(name, None)
    headers["content-length"] = str(length)
