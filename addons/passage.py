"""One cleared call on the wire: what it takes along, and what its answer passes on the way back."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseTrailers,
)

from addons.broken import broken
from addons.conversation import Conversation
from addons.door import Account
from addons.rpc import RpcScrub, Upload
from addons.stage import DIGESTS, Decode, Read, Scrub, Simple, Stage, Unreadable
from addons.whole import WholeResponse, with_content
from broker import Mask, Outgoing, Recipe, Secret
from interlock.settings import Limits


def stages_for(
    account: Account, mask: Mask, limits: Limits, request: http.Request
) -> tuple[Stage, ...]:
    """What an answer passes: decoded where somebody has to read it, scrubbed where it may leak.

    No answer of a host that knows secrets of ours may bring one back, not even to a call that
    took none along, for the host may have kept what another brought.
    """
    decode = Decode(limits.decompression_ratio, chunked=request.http_version == "HTTP/1.1")
    if request.stream:
        return (decode, *account.inspectors, RpcScrub(account, mask, limits.message_bytes))
    return (
        *([decode] if mask or account.inspectors else ()),
        *([Read(account.usage)] if account.usage else ()),
        *account.inspectors,
        *([Scrub(mask)] if mask else ()),
    )


class Passage:
    """A call on its way, and its answer on the way back."""

    def __init__(
        self,
        account: Account,
        stages: Sequence[Stage],
        talk: Conversation | None = None,
        upload: Upload | None = None,
    ) -> None:
        """`talk` is for a call that asks for a WebSocket, `upload` for one of gRPC."""
        self.talk = talk
        self._upload = upload
        self._account = account
        self._stages = stages
        self._takes: list[Callable[[bytes], bytes]] | None = None

    def outward(self, request: http.Request) -> http.Request:
        """What the upstream gets in place of `request`."""
        return request

    def content(self, data: bytes) -> bytes:
        """What the upstream gets in place of a piece of the body; raises Breach."""
        return self._upload.take(data) if self._upload else data

    def hide(self, mask: Mask) -> None:
        """Scrub an answer, of which nothing has passed yet, of this too."""
        self._stages = (*self._stages, Scrub(mask))

    def inward(self, event: HttpEvent) -> Iterator[events.Event]:
        """What the flow gets in place of an event of the answer, stage after stage."""
        try:
            for passed in self._passed(event):
                if masked := sum([stage.masked for stage in self._stages]):
                    self._account.scrubbed = masked
                    self._account.spellings.update(*(stage.spellings for stage in self._stages))
                yield passed
        except Unreadable as e:
            yield broken(event.stream_id, str(e))

    def _passed(self, event: HttpEvent) -> Iterable[events.Event]:
        if isinstance(event, WholeResponse):
            return self._whole(event)
        if isinstance(event, ResponseHeaders):
            return (self._begun(event),)
        if isinstance(event, ResponseData):
            self._account.bytes_down += len(event.data)
            if self._takes is None:
                return _data(event.stream_id, _fed(self._stages, event.data))
            data = event.data
            for take in self._takes:
                data = take(data)
            return (ResponseData(event.stream_id, data),) if data else ()
        if isinstance(event, (ResponseTrailers, ResponseEndOfMessage)):
            self._account.steps.over("last_byte")
            return self._ended(event)
        return (event,)

    def _begun(self, event: ResponseHeaders) -> ResponseHeaders:
        self._account.steps.over("first_byte")
        response = event.response
        for stage in self._stages:
            response = stage.head(response, empty=event.end_stream)
        self._stages = [stage for stage in self._stages if not stage.is_idle]
        self._takes = _takes(self._stages)
        return ResponseHeaders(event.stream_id, response, event.end_stream)

    def _whole(self, event: WholeResponse) -> Iterator[events.Event]:
        """An answer that is there; in its parts, where a step may make many pieces of one."""
        head = self._begun(event)
        if self._takes is None:
            yield head
            for part in event.rest():
                yield from self._passed(part)
            return
        content = event.content
        self._account.bytes_down += len(content)
        for take in self._takes:
            content = take(content)
        self._account.steps.over("last_byte")
        yield with_content(head, b"".join([content, *_flushed(self._stages)]))

    def _ended(self, event: ResponseTrailers | ResponseEndOfMessage) -> Iterator[events.Event]:
        yield from _data(event.stream_id, _flushed(self._stages))
        if isinstance(event, ResponseTrailers):
            for stage in self._stages:
                stage.trailers(event.trailers)
        yield event


class Credentialed(Passage):
    """A call that takes secrets along."""

    def __init__(
        self,
        account: Account,
        stages: Sequence[Stage],
        request: http.Request,
        redeemed: Sequence[tuple[Recipe, Secret]],
        talk: Conversation | None = None,
        upload: Upload | None = None,
    ) -> None:
        """Put the secrets on a copy of the request, in place of tokens; raises RecipeError."""
        super().__init__(account, stages, talk, upload)
        account.redeemed = True
        after = outgoing_of(request).without(*[recipe.slot for recipe, _ in redeemed])
        for recipe, secret in redeemed:
            after = recipe.apply(after, secret, time.time())
        self._sent: http.Request | None = sent_as(request, after)
        self._body: bytes | None = after.body
        account.steps.over("redeem")

    def outward(self, request: http.Request) -> http.Request:
        """Answer the copy with the secret; once, and never the flow's own."""
        sent, self._sent = self._sent, None
        if sent is None:
            raise RuntimeError("the credential was put on the wire already")
        return sent

    def content(self, data: bytes) -> bytes:
        """Answer the body of that copy, once; or what is said later, of which we know nothing."""
        if self._upload or (self.talk and self.talk.open):
            return super().content(data)
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


def _takes(stages: Sequence[Stage]) -> list[Callable[[bytes], bytes]] | None:
    """The way through stages that are all simple, without an iterator for each."""
    takes: list[Callable[[bytes], bytes]] = []
    for stage in stages:
        if not isinstance(stage, Simple):
            return None
        takes.append(stage.take)
    return takes


def _fed(stages: Sequence[Stage], data: bytes) -> Iterator[bytes]:
    if not stages:
        yield data
        return
    for piece in stages[0].feed(data):
        yield from _fed(stages[1:], piece)


def _flushed(stages: Sequence[Stage]) -> Iterator[bytes]:
    """Flush each stage into those behind it."""
    for at, stage in enumerate(stages, 1):
        for piece in stage.flush():
            yield from _fed(stages[at:], piece)


def _data(stream_id: int, pieces: Iterable[bytes]) -> Iterator[events.Event]:
    return (ResponseData(stream_id, piece) for piece in pieces)
