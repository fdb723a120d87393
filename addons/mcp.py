"""Shows an agent what it may see of the answers of MCP servers, live events as they come."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urljoin, urlsplit

from mitmproxy import ctx, http
from mitmproxy.proxy import events

from addons.door import Door, Listening
from addons.stage import DIGESTS, Stage, Unreadable
from interlock.calls.events import MOST_BYTES, Events
from interlock.calls.mcp import is_at_endpoint
from interlock.offers import Offers
from interlock.verdict import Verdict

EVENTS = "text/event-stream"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s\"';,]*)", re.IGNORECASE)


class Shown(Stage):
    """Rewrites a stream event by event, and any other answer when it is whole."""

    def __init__(self, offers: Offers, listen: Callable[[bytes], None], *, chunked: bool) -> None:
        """`chunked` says that the agent's connection marks the end of a body so.

        `listen` is told where an event stream wants its agent to post.
        """
        self._offers = offers
        self._listen = listen
        self._chunked = chunked
        self._events: Events | None = None
        self._held = bytearray()

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Take off what is true of the unchanged body only."""
        if empty:
            return response
        types = response.headers.get_all("content-type")
        if self._offers.binds and response.status_code < 300:
            _require_one_reading(types)
        if _media_type("".join(types)) == EVENTS:
            self._events = Events(self._event)
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
            last = self._events
            yield from _readable(lambda _: last.flush(), b"")
        elif self._held:
            held, self._held = bytes(self._held), bytearray()
            yield from _readable(self._rewritten, held)

    def _event(self, data: bytes) -> bytes | None:
        if data.startswith((b"/", b"https:")):
            self._listen(data)
        return self._offers.rewritten(data)

    def _rewritten(self, text: bytes) -> bytes:
        new = self._offers.rewritten(text)
        return text if new is None else new


@dataclass
class Told(events.MessageInjected[bytes]):
    """Bytes for the agent at the end of an answer that is still under way."""


def inspectors(door: Door, flow: http.HTTPFlow, verdict: Verdict) -> list[Stage]:
    """What has to look into the answer before the agent sees it; nothing where it is not MCP's."""
    if verdict.call.mcp is None or door.governor is None:
        return []
    listen = partial(_listen, door, flow, verdict) if flow.request.method == "GET" else _nowhere
    chunked = flow.request.http_version == "HTTP/1.1"
    return [Shown(door.governor.offers(verdict), listen, chunked=chunked)]


def tell(door: Door, flow: http.HTTPFlow, verdict: Verdict) -> None:
    """Tell a refusal where the agent listens for its answer, if that is not the refused call."""
    request, refusal = verdict.call.request, flow.response
    place = (verdict.agent.name, request.authority, request.path)
    for one in list(door.streams.values()):
        if (
            refusal
            and refusal.status_code == 200
            and place == (one.agent, one.authority, one.target)
        ):
            text = b"event: message\ndata: " + (refusal.content or b"") + b"\n\n"
            ctx.master.addons.get("proxyserver").inject_event(Told(one.flow, text))


def _require_one_reading(types: Sequence[str]) -> None:
    """Raise Unreadable for what some clients take for events, or for text, and others do not."""
    said = "".join(types)
    charsets = {name.lower() for name in _CHARSET.findall(said)}
    if len(types) > 1 or charsets - {"utf-8", "utf8", "us-ascii"}:
        raise Unreadable("an MCP server's answer says two Content-Types, or that it is not UTF-8")
    if "event-stream" in said.lower() and _media_type(said) != EVENTS:
        raise Unreadable(f"an MCP server's answer is almost {EVENTS}")


def _media_type(said: str) -> str:
    return said.partition(";")[0].strip().lower()


def _listen(door: Door, flow: http.HTTPFlow, verdict: Verdict, place: bytes) -> None:
    """Remember where the answers to what is posted to a place are awaited."""
    request = verdict.call.request
    try:
        target = urlsplit(
            urljoin(f"https://{request.authority.short}{request.path}", place.decode())
        )
    except ValueError:
        return
    if target.netloc != request.authority.short:
        return
    query = f"?{target.query}" if target.query else ""
    known = Listening(flow, verdict.agent.name, request.authority, f"{target.path}{query}")
    door.streams[flow.id] = known
    server = verdict.call.server
    if door.governor and server and is_at_endpoint(request, server):
        door.governor.installation.servers.posts.hear(server, target.path)


def _nowhere(_: bytes) -> None:
    """An answer to a POST is awaited there."""


def _readable(read: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """What was made of a piece; raises Unreadable for what cannot be judged."""
    try:
        ready = read(data)
    except ValueError as e:
        raise Unreadable(str(e)) from None
    if ready:
        yield ready
