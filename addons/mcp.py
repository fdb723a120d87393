"""Shows an agent what it may see of the answers of MCP servers, live events as they come."""

from collections.abc import Callable, Iterator

from mitmproxy import http

from addons.stage import DIGESTS, Stage, Unreadable
from interlock.calls.events import MOST_BYTES, Events
from interlock.governor import Governor
from interlock.offers import Offers
from interlock.verdict import Verdict


class Shown(Stage):
    """Rewrites a stream event by event, and any other answer when it is whole."""

    def __init__(self, offers: Offers, *, chunked: bool) -> None:
        """`chunked` says that the agent's connection marks the end of a body so."""
        self._offers = offers
        self._chunked = chunked
        self._events: Events | None = None
        self._held = bytearray()

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Take off what is true of the unchanged body only."""
        if empty:
            return response
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "text/event-stream":
            self._events = Events(self._offers.rewritten)
        # A copy, for by its own framing the connection to the upstream knows where it ends.
        response = response.copy()
        had_length = response.headers.pop("content-length", None)
        for name in DIGESTS:
            response.headers.pop(name, None)
        if had_length and self._chunked:
            response.headers["transfer-encoding"] = "chunked"
        return response

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pass the events that are whole; hold anything else."""
        if self._events:
            yield from _readable(self._events.feed, data)
            return
        self._held += data
        if len(self._held) > MOST_BYTES:
            raise Unreadable(f"an MCP server's answer is larger than {MOST_BYTES >> 20} MiB")

    def flush(self) -> Iterator[bytes]:
        """Pass the rest."""
        if self._events:
            events = self._events
            yield from _readable(lambda _: events.flush(), b"")
        elif self._held:
            held, self._held = bytes(self._held), bytearray()
            yield from _readable(self._rewritten, held)

    def _rewritten(self, text: bytes) -> bytes:
        new = self._offers.rewritten(text)
        return text if new is None else new


def inspectors(governor: Governor, verdict: Verdict, agent_speaks: str) -> list[Stage]:
    """What has to look into the answer before the agent sees it; nothing where it is not MCP's."""
    if verdict.call.mcp is None:
        return []
    return [Shown(governor.offers(verdict), chunked=agent_speaks == "HTTP/1.1")]


def _readable(read: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """What was made of a piece; raises Unreadable for what cannot be judged."""
    try:
        ready = read(data)
    except ValueError as e:
        raise Unreadable(str(e)) from None
    if ready:
        yield ready
