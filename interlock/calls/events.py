"""Rewrites Server-Sent Events one by one, each as soon as it is whole.

What is not changed leaves byte for byte as it came (WHATWG HTML, 9.2.6).
"""

import re
from collections.abc import Callable

MOST_BYTES = 16 << 20
_LINE = re.compile(rb"\r\n|\r(?!\n)|\n")
_END = re.compile(rb"(?:\r\n|\r(?!\n)|\n){2}")
# An end of an event that is cut in two begins at most so far back.
_OVERLAP = 3

# Answers what stands in the place of an event's data: None for itself, nothing for no event.
type Change = Callable[[bytes], bytes | None]


class Events:
    """One stream, in chunks of any size. Keeps one event at most."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._kept = bytearray()
        self._looked = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and answer what may leave; raises ValueError for an endless event."""
        self._kept += chunk
        ready = bytearray()
        while found := _END.search(self._kept, self._looked):
            ready += self._changed(bytes(self._kept[: found.end()]))
            del self._kept[: found.end()]
            self._looked = 0
        self._looked = max(0, len(self._kept) - _OVERLAP)
        if len(self._kept) > MOST_BYTES:
            raise ValueError(f"an event is larger than {MOST_BYTES >> 20} MiB")
        return bytes(ready)

    def flush(self) -> bytes:
        """Answer what is left when the stream has ended; some clients read it as an event."""
        rest, self._kept = bytes(self._kept), bytearray()
        return self._changed(rest) if rest else b""

    def _changed(self, event: bytes) -> bytes:
        lines = _LINE.split(event)
        data = [_value(line) for line in lines if _is_data(line)]
        changed = self._change(b"\n".join(data)) if data else None
        if changed is None:
            return event
        if not changed:
            return b": left out\n\n"
        others = [line for line in lines if line and not _is_data(line)]
        return b"\n".join([*others, b"data: " + changed, b"", b""])


def _is_data(line: bytes) -> bool:
    line = line.removeprefix(b"\xef\xbb\xbf")
    return line == b"data" or line.startswith(b"data:")


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].removeprefix(b" ")
