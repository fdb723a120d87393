"""The steps that an answer passes between the wire and the flow: decode, read, scrub."""

import itertools
from collections.abc import Collection, Iterator

from mitmproxy import http

from addons.headers import index_of
from broker import Mask
from interlock.calls.codings import CodingError, Decoder, parse_codings
from interlock.calls.usage import UsageReader

# What a message says about its body (RFC 1864, 3230, 9530): untrue once the body has changed.
DIGESTS = ("content-md5", "digest", "content-digest", "repr-digest")
_DIGESTS = frozenset(name.encode() for name in DIGESTS)
# What says of a body that it is not simply itself.
CODINGS = frozenset((b"transfer-encoding", b"content-encoding"))

UNDECODED = "the upstream's answer cannot be decoded"


class Unreadable(Exception):
    """An answer that must not reach the agent; the message is in our own words."""


class Stage:
    """One step of one answer. What it returns is what the next one sees; this one changes nothing.

    A stage that has to see a whole body may hold it back, within a limit of its own, and hand it
    out in `flush`. Any stage may raise Unreadable, which breaks the answer off. `masked` counts
    the places where it hid something, `spellings` names the codings that it found there.
    """

    masked = 0
    spellings: Collection[str] = ()
    # Whether it has nothing to do with what follows the head.
    is_idle = False

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Pass status and headers; `empty` when no body follows."""
        return response

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pass a piece of the body."""
        yield data

    def flush(self) -> Iterator[bytes]:
        """Pass what was held back, at the end of the body."""
        yield from ()

    def trailers(self, trailers: http.Headers) -> None:
        """Change trailers in their place."""


class Simple(Stage):
    """A step that makes one piece of one, or none yet."""

    def take(self, data: bytes) -> bytes:
        """Pass a piece of the body; nothing while it is held back."""
        return data

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pass a piece of the body."""
        if taken := self.take(data):
            yield taken


class Read(Simple):
    """Reads along what an answer says that it used."""

    def __init__(self, usage: UsageReader) -> None:
        self._usage = usage

    def take(self, data: bytes) -> bytes:
        """Read a piece."""
        self._usage.feed(data)
        return data


class Decode(Stage):
    """Undoes content codings, because what cannot be read can neither be scrubbed nor judged.

    `chunked` says that the agent's connection marks the end of a body of unknown length so.
    """

    def __init__(self, ratio: int, *, chunked: bool) -> None:
        self._ratio = ratio
        self._chunked = chunked
        self._decoder: Decoder | None = None

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Take the coding off, and whatever is true of the coded body only."""
        self.is_idle = CODINGS.isdisjoint(index_of(response.headers))
        if self.is_idle:
            return response
        if response.headers.get("transfer-encoding", "").strip().lower() not in ("", "chunked"):
            raise Unreadable("the upstream's answer is in a transfer coding")
        try:
            codings = parse_codings(response.headers.get("content-encoding", ""))
        except CodingError as e:
            raise Unreadable(f"{UNDECODED}: {e}") from None
        self.is_idle = not codings
        if not codings:
            return response
        # A copy, for by its own framing the connection to the upstream knows where it ends.
        response = response.copy()
        for name in ("content-encoding", "content-length", "transfer-encoding", *DIGESTS):
            response.headers.pop(name, None)
        if not empty:
            self._decoder = Decoder(codings, self._ratio)
            if self._chunked:
                response.headers["transfer-encoding"] = "chunked"
        return response

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode a piece."""
        if self._decoder is None:
            yield data
            return
        try:
            yield from self._decoder.feed(data)
        except CodingError as e:
            raise Unreadable(f"{UNDECODED}: {e}") from None

    def flush(self) -> Iterator[bytes]:
        """Nothing is held back, but the coding must be complete."""
        if self._decoder:
            try:
                self._decoder.close()
            except CodingError as e:
                raise Unreadable(f"{UNDECODED}: {e}") from None
        yield from ()


class Scrub(Simple):
    """Masks secrets in whatever can carry bytes: reason, headers, body, trailers."""

    def __init__(self, mask: Mask) -> None:
        self._scrubber = mask.scrubber()
        self.spellings = self._scrubber.spellings

    def head(self, response: http.Response, *, empty: bool) -> http.Response:
        """Scrub in place; lengths stay, digests go, as nobody knows yet what will be masked."""
        self.trailers(response.headers)
        response.data.reason = self._whole(response.data.reason)
        return response

    def take(self, data: bytes) -> bytes:
        """Pass what cannot be the beginning of a form any more."""
        clean = self._scrubber.feed(data)
        self.masked = self._scrubber.count
        return clean

    def flush(self) -> Iterator[bytes]:
        """Pass the rest."""
        clean = self._scrubber.flush()
        self.masked = self._scrubber.count
        if clean:
            yield clean

    def trailers(self, trailers: http.Headers) -> None:
        """Scrub all names and values in one go; masking keeps every length."""
        for name in _DIGESTS.intersection(index_of(trailers)):
            trailers.pop(name)
        parts = [part for field in trailers.fields for part in field]
        said = b"\n".join(parts)
        clean = self._whole(said)
        if clean == said:
            return
        cuts = itertools.accumulate((len(part) + 1 for part in parts), initial=0)
        shown = [clean[cut : cut + len(part)] for cut, part in zip(cuts, parts, strict=False)]
        trailers.fields = tuple(zip(shown[::2], shown[1::2], strict=True))

    def _whole(self, value: bytes) -> bytes:
        """Scrub a value that is complete in itself."""
        clean = self._scrubber.whole(value)
        self.masked = self._scrubber.count
        return clean
