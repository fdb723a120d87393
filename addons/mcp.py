"""Shows an agent what it may see of the answers of MCP servers, live events as they come."""

import logging

from mitmproxy import http

from addons import refusals
from addons.door import Door
from interlock.calls.events import Events
from interlock.offers import Offers

log = logging.getLogger(__name__)

CANNOT_READ = "an answer of an MCP server cannot be read, so it is not passed on"


class Mcp:
    """Looks at the answers of calls that are messages of MCP, and at no other."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Rewrite a stream event by event, and keep any other answer until it is whole."""
        offers, response = self._offers(flow), flow.response
        if offers is None or response is None:
            return
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            log.warning("%s: it is encoded", CANNOT_READ)
            flow.kill()
            return
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "text/event-stream":
            response.stream = False
            return
        response.headers.pop("content-length", None)
        events = Events(offers.rewritten)
        response.stream = lambda chunk: events.feed(chunk) if chunk else events.flush()

    async def response(self, flow: http.HTTPFlow) -> None:
        """Rewrite an answer that came in one piece; one that cannot be read does not pass."""
        offers, response = self._offers(flow), flow.response
        if offers is None or response is None or response.stream or not response.raw_content:
            return
        try:
            new = offers.rewritten(response.raw_content)
        except Exception:
            log.exception("%s", CANNOT_READ)
            flow.response = refusals.plain(502, CANNOT_READ)
            return
        if new is not None:
            response.raw_content = new
            response.headers["content-length"] = str(len(new))

    def _offers(self, flow: http.HTTPFlow) -> Offers | None:
        account, governor = self._door.accounts.get(flow.id), self._door.governor
        if governor is None or account is None or account.verdict.call.mcp is None:
            return None
        return governor.offers(account.verdict)
