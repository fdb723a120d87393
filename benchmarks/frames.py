"""Sends one request over and over by HTTP/2, as cheaply as Python can.

The frames of a request are written once (RFC 9113); only the number of the stream changes. Header
fields are literals that no table keeps (RFC 7541, 6.2.2), so they are the same every time. Of the
answer only the ends of streams, the windows and the questions of the connection are read.
"""

import selectors
import ssl
import time
from typing import NamedTuple

from benchmarks.load import HEAD_END, READ, Measured, Target, connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
HEAD = 9
# Of what the peer may send before we say that there is room again.
ROOM = 1 << 30
CREDIT = 1 << 20
STATUS_200 = b"\x88"
STREAMS = 8


class Frame(NamedTuple):
    """One frame without its length."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def multiplexed(target: Target, clients: int, seconds: float) -> Measured:
    """Run `clients` calls side by side, up to STREAMS of them on one connection."""
    trust = ssl.create_default_context(cafile=target.ca)
    trust.set_alpn_protocols(["h2"])
    many = max(1, clients // STREAMS)
    measured = Measured()
    loop = selectors.DefaultSelector()
    connections = []
    try:
        for number in range(many):
            sock = connect(target.of(number), trust)
            if sock.selected_alpn_protocol() != "h2":
                raise OSError("the other side speaks no HTTP/2")
            connections.append(_Connection(sock, target.request, measured))
        for one in connections:
            one.begin(clients // many)
            loop.register(one.sock, selectors.EVENT_READ, one)
        _run(loop, seconds, measured)
    finally:
        for one in connections:
            one.sock.close()
        loop.close()
    return measured


def _run(loop: selectors.BaseSelector, seconds: float, measured: Measured) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds
    while (now := time.perf_counter()) < until:
        for key, _ in loop.select(until - now):
            key.data.read()
    measured.seconds, measured.cpu = time.perf_counter() - began, time.process_time() - cpu


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def split(buffer: bytes) -> tuple[list[Frame], bytes]:
    """All whole frames of what has come, and what is left."""
    at, found = 0, []
    while len(buffer) >= at + HEAD:
        end = at + HEAD + int.from_bytes(buffer[at : at + 3], "big")
        if len(buffer) < end:
            break
        stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
        found.append(Frame(buffer[at + 3], buffer[at + 4], stream, buffer[at + HEAD : end]))
        at = end
    return found, buffer[at:]


def block(request: bytes) -> tuple[bytes, bytes]:
    """The header block and the body of an HTTP/1.1 request."""
    head, _, body = request.partition(HEAD_END)
    first, *lines = head.split(b"\r\n")
    method, path, _ = first.split(b" ")
    fields = dict(line.split(b": ", 1) for line in lines)
    pseudo = {b":method": method, b":scheme": b"https", b":path": path}
    pseudo[b":authority"] = fields.pop(b"Host")
    named = pseudo | {name.lower(): value for name, value in fields.items()}
    return b"".join(literal(*field) for field in named.items()), body


def literal(name: bytes, value: bytes) -> bytes:
    """A field that no table keeps (RFC 7541, 6.2.2)."""
    return b"\x00" + _text(name) + _text(value)


def opening() -> bytes:
    """What either side says first: how much may come on a stream and on the connection."""
    window = (4).to_bytes(2, "big") + ROOM.to_bytes(4, "big")
    return frame(SETTINGS, 0, 0, window) + room_for(ROOM)


def room_for(size: int) -> bytes:
    """So many bytes more may come on the connection."""
    return frame(WINDOW, 0, 0, size.to_bytes(4, "big"))


def _text(text: bytes) -> bytes:
    # A length below 127 is one byte (RFC 7541, 5.1); longer ones go on in sevens.
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, more = len(text) - 127, b""
    while rest >= 128:
        more, rest = more + bytes([rest % 128 + 128]), rest // 128
    return b"\x7f" + more + bytes([rest]) + text


class _Connection:
    def __init__(self, sock: ssl.SSLSocket, request: bytes, measured: Measured) -> None:
        self.sock = sock
        self._block, self._body = block(request)
        self._measured = measured
        self._stream, self._buffer, self._taken = -1, b"", 0
        self._sent: dict[int, float] = {}

    def begin(self, calls: int) -> None:
        """Open the connection and this many calls on it."""
        self.sock.sendall(PREFACE + opening())
        self.sock.sendall(b"".join(self._next() for _ in range(calls)))
        self.sock.setblocking(False)

    def read(self) -> None:
        """Take what has come, and begin a call for each that ended."""
        answers = []
        while True:
            try:
                data = self.sock.recv(READ)
            except ssl.SSLWantReadError:
                break
            if not data:
                raise OSError("the connection was closed")
            self._buffer += data
            answers += self._frames()
        if answers:
            self.sock.setblocking(True)
            self.sock.sendall(b"".join(answers))
            self.sock.setblocking(False)

    def _frames(self) -> list[bytes]:
        found, self._buffer = split(self._buffer)
        return [answer for one in found for answer in self._answer(*one)]

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes) -> list[bytes]:
        if kind in (RST_STREAM, GOAWAY):
            raise OSError(f"frame {kind} of stream {stream}: {payload!r}")
        if kind in (SETTINGS, PING) and not flags & ACK:
            return [frame(kind, ACK, 0, payload if kind == PING else b"")]
        if kind == HEADERS and not payload.startswith(STATUS_200):
            raise OSError(f"an answer began with {payload[:40]!r}")
        said = []
        if kind == DATA:
            self._taken += len(payload)
            if self._taken > CREDIT:
                said.append(room_for(self._taken))
                self._taken = 0
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self._measured.latencies.append(time.perf_counter() - self._sent.pop(stream))
            self._measured.calls += 1
            said.append(self._next())
        return said

    def _next(self) -> bytes:
        self._stream += 2
        self._sent[self._stream] = time.perf_counter()
        head = frame(HEADERS, END_HEADERS, self._stream, self._block)
        return head + frame(DATA, END_STREAM, self._stream, self._body)
