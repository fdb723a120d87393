"""gRPC over HTTP/2: which calls are, how a refusal reads to them, and where messages end."""

import re
from collections.abc import Iterator
from urllib.parse import quote

from mitmproxy import http
from wsproto.frame_protocol import CloseReason

from addons import refusals
from addons.conversation import Breach, Pace, Watch, require_room
from addons.door import Account
from addons.stage import Scrub, Unreadable
from broker import Mask
from interlock.settings import Limits

_TYPE = re.compile(r"application/grpc(\+[a-z.-]+)?\s*(;.*)?", re.IGNORECASE)
# What a status of HTTP is in gRPC; what is not here is 14, UNAVAILABLE.
_STATUSES = {401: 16, 407: 16, 403: 7, 413: 8, 429: 8, 431: 8}
_PREFIX = 5  # a flag and four bytes of length
# What may stand in `grpc-message` as it is (PROTOCOL-HTTP2.md, Percent-Byte-Unencoded).
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if code != 0x25)


def is_rpc(request: http.Request) -> bool:
    """True for a call of gRPC as its clients make it."""
    if not (request.is_http2 and request.method == "POST"):
        return False
    return _TYPE.fullmatch(request.headers.get("content-type", "")) is not None


def in_rpc(answer: http.Response) -> http.Response:
    """Say the same as a refusal of ours does in the way that gRPC reads: Trailers-Only."""
    response = http.Response.make(200, b"", {"content-type": "application/grpc"})
    response.headers.pop("content-length", None)
    response.headers["grpc-status"] = str(_STATUSES.get(answer.status_code, 14))
    response.headers["grpc-message"] = quote(refusals.message_of(answer), safe=_PLAIN)
    for name in (refusals.DECISION_HEADER, refusals.DECISION_ID_HEADER):
        if name in answer.headers:
            response.headers[name.lower()] = answer.headers[name]
    return response


class Envelopes:
    """Walks through length-prefixed messages; knows where each ends, and holds none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._prefix = b""
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
        """Yield the prefix that begins a message, a piece of it, and whether it ends there.

        Raises Breach for a message that is too long.
        """
        while data:
            prefix = b""
            if not self._left:
                need = _PREFIX - len(self._prefix)
                self._prefix, data = self._prefix + data[:need], data[need:]
                if len(self._prefix) < _PREFIX:
                    return
                prefix, self._prefix = self._prefix, b""
                self._left = int.from_bytes(prefix[1:])
                if self._left > self._most:
                    raise Breach(
                        CloseReason.MESSAGE_TOO_BIG,
                        f"a message has more than {self._most} bytes "
                        "(limit interlock_message_bytes)",
                    )
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            yield prefix, piece, not self._left

    def rest(self) -> bytes:
        """What is left of a prefix that nothing followed."""
        return self._prefix


class RpcScrub(Scrub):
    """Scrubs message by message, so that none waits for the next one."""

    def __init__(self, account: Account, mask: Mask, most: int) -> None:
        super().__init__(mask)
        self._account = account
        self._envelopes: Envelopes | None = Envelopes(most)

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Refuse compressed messages; what is no gRPC is scrubbed as any other answer."""
        if response.headers.get("grpc-encoding", "identity").strip().lower() != "identity":
            raise Unreadable("the upstream compresses its messages although asked not to")
        if not _TYPE.fullmatch(response.headers.get("content-type", "")):
            self._envelopes = None
        return super().head(response, empty=empty)

    def take(self, data: bytes) -> bytes:
        """Pass messages and pieces of them, their lengths unchanged."""
        if self._envelopes is None:
            return super().take(data)
        shown = bytearray()
        try:
            for prefix, piece, ends in self._envelopes.feed(data):
                if prefix[:1] not in (b"", b"\0"):
                    raise Unreadable("the upstream compresses its messages although asked not to")
                shown += prefix + super().take(piece)
                if ends:
                    self._account.messages_down += 1
                    shown += b"".join(super().flush())
        except Breach as breach:
            raise Unreadable(breach.why) from None
        return bytes(shown)

    def flush(self) -> Iterator[bytes]:
        """Pass the rest."""
        if self._envelopes and (rest := self._envelopes.rest()):
            yield rest
        yield from super().flush()


class Upload:
    """The messages of an agent on their way out: counted, within limits, searched for bait."""

    def __init__(self, account: Account, limits: Limits, watch: Watch) -> None:
        self._account = account
        self._limits = limits
        self._envelopes = Envelopes(limits.message_bytes)
        self._pace = Pace(limits.message_rate)
        self._watch = watch

    def take(self, data: bytes) -> bytes:
        """Answer the bytes when they may leave; raises Breach."""
        require_room(self._account, len(data), self._limits)
        for _, _, ends in self._envelopes.feed(data):
            if ends:
                self._account.messages_up += 1
                self._pace.step()
        self._watch.look(data)
        return data
