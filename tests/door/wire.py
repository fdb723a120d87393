"""TLS in the hand of a test: what is a record, and what is one write, is said for every byte."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from random import Random

# Long enough for a front door to have read what came before, on most runs of it.
PAUSE_S = 0.001
PATIENCE_S = 10.0


class Way(StrEnum):
    """How a message is put on the wire."""

    WHOLE = "in one record and one write"
    HALVES = "head and body each in a record and a write of its own"
    PIECES = "in records of random size, each in a write of its own"
    BYTES = "byte by byte, each in a record and a write of its own"
    TOGETHER = "in records of random size, in one write with what came before"
    TORN = "in one record, torn at random places"
    SLOWLY = "in one record, byte by byte"


@dataclass(slots=True)
class Saying:
    """One side of a conversation: its way, and the dice by which it cuts."""

    way: Way
    dice: Random

    def records(self, data: bytes) -> Iterator[list[bytes]]:
        """The writes of a message, each as its records."""
        match self.way:
            case Way.HALVES:
                head, end, body = data.partition(b"\r\n\r\n")
                yield from ([piece] for piece in (head + end, body) if piece)
            case Way.PIECES:
                yield from ([piece] for piece in self.cut(data))
            case Way.BYTES:
                yield from ([data[at : at + 1]] for at in range(min(len(data), 250)))
                yield from ([piece] for piece in (data[250:],) if piece)
            case Way.TOGETHER:
                yield list(self.cut(data))
            case _:
                yield [data]

    def writes(self, bytes_: bytes) -> Iterator[bytes]:
        """The writes of what TLS made of it."""
        match self.way:
            case Way.TORN:
                return self.cut(bytes_)
            case Way.SLOWLY:
                return (bytes_[at : at + 1] for at in range(len(bytes_)))
            case _:
                return iter((bytes_,))

    def cut(self, data: bytes) -> Iterator[bytes]:
        """Two to six pieces."""
        many = min(self.dice.randint(1, 5), max(len(data) - 1, 0))
        places = sorted(self.dice.sample(range(1, len(data)), many)) if many else []
        for begin, end in zip([0, *places], [*places, len(data)], strict=True):
            yield data[begin:end]


class Wire:
    """One TLS connection, from either side."""

    def __init__(
        self, plain: socket.socket, context: ssl.SSLContext, saying: Saying, name: str | None = None
    ) -> None:
        """`name` is whom a client asks for; a server has none."""
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(PATIENCE_S)
        self._plain, self.saying = plain, saying
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, name is None, name)
        self.ended = ""

    def shake(self) -> None:
        """Do the handshake; the last of it may go with what is said first."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not (chunk := self._plain.recv(65536)):
                    raise ConnectionError("no handshake") from None
                self._in.write(chunk)
            else:
                if self.saying.way is not Way.TOGETHER:
                    self._flush()
                return

    def say(self, data: bytes) -> None:
        """Say a message in its way."""
        for records in self.saying.records(data):
            for record in records:
                self._tls.write(record)
            self._flush()
            time.sleep(PAUSE_S / 4 if self.saying.way is Way.BYTES else PAUSE_S)

    def hear(self) -> bytes:
        """What comes next; nothing once `ended` says how the other side ended it."""
        while not self.ended:
            try:
                if chunk := self._tls.read(1 << 16):
                    return chunk
                self.ended = "farewell"
            except ssl.SSLWantReadError:
                self._fetch()
            except ssl.SSLError as e:
                self.ended = e.reason or "broken"
        return b""

    def _fetch(self) -> None:
        try:
            if chunk := self._plain.recv(1 << 16):
                self._in.write(chunk)
            else:
                self.ended = "cut"
        except (TimeoutError, BlockingIOError):
            self.ended = "silence"
        except OSError:
            self.ended = "reset"

    def hear_now(self) -> bytes:
        """What has come already."""
        self._plain.settimeout(0.0)
        heard = b""
        while chunk := self.hear():
            heard += chunk
        self._plain.settimeout(PATIENCE_S)
        if self.ended == "silence":
            self.ended = ""
        return heard

    def end(self) -> None:
        """Say farewell, and nothing any more."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        with suppress(OSError):
            self._flush()
            self._plain.shutdown(socket.SHUT_WR)

    def cut_off(self) -> None:
        """Say nothing any more, without a farewell."""
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_WR)

    def _flush(self) -> None:
        for piece in self.saying.writes(self._out.read()):
            self._plain.sendall(piece)
            if self.saying.way in (Way.TORN, Way.SLOWLY):
                time.sleep(PAUSE_S)
