"""An upstream in the attacker's hand: it says what a case says, byte for byte."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    SettingsFrame,
)

from interlock.demo.certificates import Certificates
from tests.attacks.listener import END, Listener

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

type Says = bytes | Callable[[socket.socket], None]


class Hostile(Listener):
    """Says `says` to every head; then hangs up, unless it `stays`. Speaks HTTP/2 if told to."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__(certificates)
        self.says: Says = b""
        self.stays = False
        self._protocols = {}
        for protocol in ("http/1.1", "h2"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.chain, certificates.key)
            context.set_alpn_protocols([protocol])
            self._protocols[protocol] = context
        self.speaks("http/1.1")

    def speaks(self, protocol: str) -> None:
        """Choose what the next connections agree on."""
        self._context = self._protocols[protocol]

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._wrapped(plain) as one:
            one.settimeout(60)
            assert isinstance(one, ssl.SSLSocket)
            is_asked = _asked_http2 if one.selected_alpn_protocol() == "h2" else _asked
            while is_asked(self, one):
                says = self.says
                if isinstance(says, bytes):
                    one.sendall(says)
                else:
                    says(one)
                if not self.stays:
                    return

    def hear(self, chunk: bytes) -> None:
        """Keep what came."""
        self.received += chunk


def _asked(upstream: Hostile, one: socket.socket) -> bool:
    """Wait for the head of a request without a body."""
    head = b""
    while END not in head:
        if not (chunk := one.recv(65536)):
            return False
        upstream.hear(chunk)
        head += chunk
    upstream.heads.append(head.partition(END)[0])
    return True


def _asked_http2(upstream: Hostile, one: socket.socket) -> bool:
    """Wait for a request of HTTP/2; what it said is kept as if it were HTTP/1.1."""
    one.sendall(SettingsFrame(0).serialize())
    heard = b""
    while chunk := one.recv(65536):
        heard += chunk
        frames = heard.removeprefix(PREFACE)
        while len(frames) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(frames[:9]))
            if len(frames) < 9 + length:
                break
            if isinstance(frame, HeadersFrame):
                frame.parse_body(memoryview(frames[9 : 9 + length]))
                fields = hpack.Decoder().decode(frame.data, raw=True)
                head = b"\r\n".join(bytes(n) + b": " + bytes(v) for n, v in fields)
                upstream.hear(head)
                upstream.heads.append(head)
                return True
            frames = frames[9 + length :]
    return False


def head2(*fields: tuple[bytes, bytes], stream: int = 1, end: bool = False, **more: Any) -> bytes:
    """A frame of HEADERS with exactly these fields; `more` are its attributes."""
    block = more.pop("block", None) or hpack.Encoder().encode(fields, huffman=False)
    frame = HeadersFrame(stream, data=block, **more)
    frame.flags.add("END_HEADERS")
    if end:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def data2(content: bytes, *, stream: int = 1, end: bool = True) -> bytes:
    """A frame of DATA."""
    frame = DataFrame(stream, data=content)
    if end:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def continued(count: int, content: bytes = b"", stream: int = 1, first: bytes = b"\x88") -> bytes:
    """HEADERS, and so many CONTINUATION behind them, of which none is the last."""
    more = ContinuationFrame(stream, data=content).serialize()
    return HeadersFrame(stream, data=first).serialize() + more * count


def bomb2(count: int, size: int = 4000) -> bytes:
    """A block in which one long field is said again and again by one byte (CVE-2016-6581)."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 4096
    first = encoder.encode([(b":status", b"200"), (b"x-a", b"a" * size)], huffman=False)
    again = encoder.encode([(b"x-a", b"a" * size)], huffman=False)
    return first + again * count
