"""One cleared call on the wire: what it takes along, and how its answer is scrubbed."""

import itertools
import time

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)

from addons.door import Account
from broker import Mask, Outgoing, Recipe, Secret

# What a request says about its body (RFC 1864, 3230, 9530): untrue once the body has changed.
DIGESTS = ("content-md5", "digest", "content-digest", "repr-digest")


class Passage:
    """A call whose answer cannot hold a secret of ours: it passes unchanged and is counted."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def outward(self, request: http.Request) -> http.Request:
        """What the upstream gets in place of `request`."""
        return request

    def content(self, data: bytes) -> bytes:
        """What the upstream gets in place of the body, which leaves in one piece."""
        return data

    def inward(self, event: events.Event) -> list[events.Event]:
        """What the flow gets in place of an event of the answer."""
        if isinstance(event, ResponseData):
            self._account.bytes_down += len(event.data)
            if self._account.usage:
                self._account.usage.feed(event.data)
        return [event]


class Guarded(Passage):
    """A call to a host that knows secrets of ours: no answer of it may bring one back.

    Not even to a call that took none along, for the host may have kept what another brought.
    """

    def __init__(self, account: Account, mask: Mask) -> None:
        super().__init__(account)
        self._scrubber = mask.scrubber()

    def inward(self, event: events.Event) -> list[events.Event]:
        """Scrub whatever can carry bytes: reason, headers, body, trailers."""
        super().inward(event)
        if isinstance(event, ResponseHeaders):
            return [self._head(event)]
        if isinstance(event, ResponseData):
            return self._data(event.stream_id, self._scrubber.feed(event.data))
        if isinstance(event, ResponseTrailers):
            rest = self._data(event.stream_id, self._scrubber.flush())
            self._scrub_headers(event.trailers)
            return [*rest, event]
        if isinstance(event, ResponseEndOfMessage):
            return [*self._data(event.stream_id, self._scrubber.flush()), event]
        return [event]

    def _head(self, event: ResponseHeaders) -> events.Event:
        response = event.response
        if coding := _coding(response.headers, event.end_stream):
            return broken(
                event.stream_id,
                f"the upstream answered in {coding[:40]!r} although asked for identity; "
                "what cannot be read cannot be scrubbed",
            )
        self._scrub_headers(response.headers)
        response.data.reason = self._whole(response.data.reason)
        return event

    def _scrub_headers(self, headers: http.Headers) -> None:
        """Scrub all names and values in one go; masking keeps every length."""
        parts = [part for field in headers.fields for part in field]
        clean = self._whole(b"\n".join(parts))
        cuts = itertools.accumulate((len(part) + 1 for part in parts), initial=0)
        shown = [clean[cut : cut + len(part)] for cut, part in zip(cuts, parts, strict=False)]
        headers.fields = tuple(zip(shown[::2], shown[1::2], strict=True))

    def _whole(self, value: bytes) -> bytes:
        """Scrub a value that is complete in itself."""
        clean = self._scrubber.feed(value) + self._scrubber.flush()
        self._account.scrubbed = self._scrubber.count
        return clean

    def _data(self, stream_id: int, clean: bytes) -> list[events.Event]:
        self._account.scrubbed = self._scrubber.count
        return [ResponseData(stream_id, clean)] if clean else []


class Credentialed(Guarded):
    """A call that takes a secret along."""

    def __init__(
        self, account: Account, mask: Mask, request: http.Request, recipe: Recipe, secret: Secret
    ) -> None:
        """Put the secret on a copy of the request, in place of the token; raises RecipeError."""
        super().__init__(account, mask | Mask(recipe.forms(secret)))
        account.redeemed = True
        before = outgoing_of(request).without(recipe.slot)
        after = recipe.apply(before, secret, time.time())
        self._sent: http.Request | None = sent_as(request, after)
        self._body: bytes | None = after.body

    def outward(self, request: http.Request) -> http.Request:
        """Answer the copy with the secret; once, and never the flow's own."""
        sent, self._sent = self._sent, None
        if sent is None:
            raise RuntimeError("the credential was put on the wire already")
        return sent

    def content(self, data: bytes) -> bytes:
        """Answer the body of that copy, once."""
        body, self._body = self._body, None
        if body is None:
            raise RuntimeError("the body was put on the wire already")
        return body


def outgoing_of(request: http.Request) -> Outgoing:
    """The request that recipes work on."""
    return Outgoing(
        method=request.method,
        host=request.headers.get("host") or request.authority,
        path=request.path,
        headers=request.headers.fields,
        body=request.raw_content or b"",
    )


def sent_as(request: http.Request, outgoing: Outgoing) -> http.Request:
    """A copy of the request as a recipe left it, its length right and no digest of another body."""
    sent = request.copy()
    sent.path = outgoing.path
    sent.headers.fields = outgoing.headers
    if outgoing.body != (request.raw_content or b""):
        for name in DIGESTS:
            sent.headers.pop(name, None)
        sent.headers["content-length"] = str(len(outgoing.body))
    return sent


def broken(stream_id: int, why: str) -> ResponseProtocolError:
    """An answer that does not come through, in our own words.

    mitmproxy's words would quote the upstream's bytes, and the secret with them, to the agent,
    the log and the ledger.
    """
    return ResponseProtocolError(stream_id, f"Interlock: {why}", ErrorCode.GENERIC_SERVER_ERROR)


def _coding(headers: http.Headers, is_empty: bool) -> str:
    """The coding that keeps an answer from being read; empty for none."""
    content = headers.get("content-encoding", "").strip().lower()
    transfer = headers.get("transfer-encoding", "").strip().lower()
    if content not in ("", "identity") and not is_empty:
        return str(content)
    return "" if transfer in ("", "chunked") else str(transfer)
