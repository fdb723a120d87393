"""Decodes content codings a piece at a time, within limits, so that no answer can blow up memory.

RFC 9110, 8.4; gzip is RFC 1952, deflate RFC 1950 (and, as many servers send it, RFC 1951), br
RFC 7932, zstd RFC 8878 with the window of RFC 9659.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

PIECE = 64 << 10  # about how much is decoded at once
FREE = 1 << 20  # to this size an answer may grow whatever its ratio
MOST_CODINGS = 3
_ZSTD_WINDOW = 8 << 20
# A block of 128 KiB takes 4 bytes of zstd, which cannot be told to stop in the middle.
_ZSTD_SLICE = 64


class CodingError(ValueError):
    """Bytes that are not what their coding says, or that grow too much; never quotes them."""


class _Inflater(Protocol):
    @property
    def finished(self) -> bool:
        """True where the coding may end."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to; raises CodingError."""
        ...


class _Gzip:
    """One member after the other, as gzip allows."""

    def __init__(self, bits: int = 16 | zlib.MAX_WBITS) -> None:
        self._bits = bits
        self._inflate = zlib.decompressobj(bits)
        self.finished = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.finished:
                self._inflate, self.finished = zlib.decompressobj(self._bits), False
            yield from self._member(data)
            data = self._inflate.unused_data

    def _member(self, data: bytes) -> Iterator[bytes]:
        try:
            while piece := self._inflate.decompress(data, PIECE):
                data = self._inflate.unconsumed_tail
                yield piece
        except zlib.error:
            raise CodingError("it is not what its coding says") from None
        self.finished = self._inflate.eof


class _Deflate:
    """The zlib format, or without its two bytes of header."""

    def __init__(self) -> None:
        self._head = b""
        self._inner: _Gzip | None = None

    @property
    def finished(self) -> bool:
        return bool(self._inner and self._inner.finished)

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            has_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self._inner = _Gzip(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        elif self.finished and data:
            raise CodingError("it goes on after its end")
        yield from self._inner.feed(data)


class _Brotli:
    def __init__(self) -> None:
        self._inflate = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._inflate.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while piece := self._inflate.process(data, output_buffer_limit=PIECE):
                data = b""
                yield piece
        except brotli.error:
            raise CodingError("it is not what its coding says") from None


class _Zstd:
    """One frame after the other, as zstd allows."""

    def __init__(self) -> None:
        self._inflate = self._frame()
        self.finished = False

    @staticmethod
    def _frame() -> Any:
        inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        return inflater.decompressobj(write_size=PIECE)

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            rest = data[start : start + _ZSTD_SLICE]
            while rest:
                if self.finished:
                    self._inflate = self._frame()
                try:
                    piece = self._inflate.decompress(rest)
                except zstandard.ZstdError:
                    raise CodingError("it is not what its coding says") from None
                rest, self.finished = self._inflate.unused_data, self._inflate.eof
                if piece:
                    yield piece


_INFLATERS: dict[str, Callable[[], _Inflater]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def parse_codings(text: str) -> tuple[str, ...]:
    """Read a Content-Encoding, in the order in which the codings were applied.

    Raises CodingError for more than three, and for one that we cannot undo.
    """
    names = [name.strip().lower() for name in text.split(",")]
    codings = tuple(name for name in names if name not in ("", "identity"))
    if len(codings) > MOST_CODINGS:
        raise CodingError(f"it has more than {MOST_CODINGS} codings")
    if not all(name in _INFLATERS for name in codings):
        raise CodingError("it has a coding that we do not know")
    return codings


class Decoder:
    """Undoes all codings of one answer; holds a piece of it, not the answer.

    `ratio` is the most that the answer may be larger than what arrived, beyond the first MiB.
    """

    def __init__(self, codings: Iterable[str], ratio: int) -> None:
        self._layers = [_INFLATERS[name]() for name in reversed(tuple(codings))]
        self._sizes = [0] * len(self._layers)
        self._ratio = ratio
        self._arrived = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes decode to; raises CodingError."""
        self._arrived += len(data)
        yield from self._through(0, data)

    def close(self) -> None:
        """Raise CodingError when the answer ended in the middle of a coding."""
        if self._arrived and not all(layer.finished for layer in self._layers):
            raise CodingError("it was cut off")

    def _through(self, at: int, data: bytes) -> Iterator[bytes]:
        if at == len(self._layers):
            yield data
            return
        for piece in self._layers[at].feed(data):
            self._sizes[at] += len(piece)
            if self._sizes[at] > max(FREE, self._ratio * self._arrived):
                raise CodingError(
                    f"it grows more than {self._ratio} times by decoding "
                    "(limit interlock_decompression_ratio)"
                )
            yield from self._through(at + 1, piece)
