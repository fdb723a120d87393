"""A message of HTTP/1.1 that is there in one piece, and goes on as one event.

mitmproxy makes three events of it, head, body and end, each of which passes every layer, though
hardly any message comes, or is sent, in more than one piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)

HEADS = (RequestHeaders, ResponseHeaders)
BODIES = (RequestData, ResponseData)
ENDS = (RequestEndOfMessage, ResponseEndOfMessage)
LINES = (None, b"", b"http/1.1")


@dataclass
class WholeRequest(RequestHeaders):
    """A head with its body and its end; whoever asks takes it for a head."""

    content: bytes = b""

    def rest(self) -> Iterator[HttpEvent]:
        """What follows the head."""
        if self.content:
            yield RequestData(self.stream_id, self.content)
        yield RequestEndOfMessage(self.stream_id)


@dataclass
class WholeResponse(ResponseHeaders):
    """The same of an answer."""

    content: bytes = b""

    def rest(self) -> Iterator[HttpEvent]:
        """What follows the head."""
        if self.content:
            yield ResponseData(self.stream_id, self.content)
        yield ResponseEndOfMessage(self.stream_id)


def parts_of(event: HttpEvent) -> Iterator[HttpEvent]:
    """What mitmproxy would have made of a message; any other event as it is."""
    if isinstance(event, WholeRequest):
        yield RequestHeaders(event.stream_id, event.request, event.end_stream, event.replay_flow)
        yield from event.rest()
    elif isinstance(event, WholeResponse):
        yield ResponseHeaders(event.stream_id, event.response, event.end_stream)
        yield from event.rest()
    else:
        yield event


def is_more(said: list[Any], command: Any) -> bool:
    """Say whether a command goes on with what a stream has said in one go, or begins with it."""
    if type(command) is not SendHttp or command.connection.alpn not in LINES:
        return False
    kind = type(command.event)
    return kind in BODIES or kind in ENDS if said else kind in HEADS


def in_one(said: list[Any]) -> list[Any]:
    """What a stream has said in one go, as one command where it is a whole message."""
    if len(said) < 2 or type(said[-1].event) not in ENDS:
        return said
    head, *bodies, _ = said
    content = b"".join([body.event.data for body in bodies])
    return [SendHttp(with_content(head.event, content), head.connection)]


def with_content(head: Any, content: bytes) -> Any:
    """The message of a head and its body."""
    if isinstance(head, RequestHeaders):
        return WholeRequest(head.stream_id, head.request, head.end_stream, content=content)
    return WholeResponse(head.stream_id, head.response, head.end_stream, content=content)
