"""Mask a secret in a stream of bytes, whatever way the stream is cut into chunks."""

from collections.abc import Iterable, Mapping

from broker.forms import PLAIN, forms_of, spellings_of
from broker.search import Few, Many, Search, search_for

__all__ = ["Mask", "Scrubber", "forms_of"]


class Scrubber:
    """Replace every byte that belongs to one of `forms` by `*`, so that lengths stay right.

    `count` says how many places were masked, `spellings` by which of the names that came with the
    forms (`spellings_of`); a form without one is plain. Memory is bounded by the longest form;
    bytes that cannot be the beginning of a form are never held back.
    """

    def __init__(self, forms: Iterable[bytes] | Search) -> None:
        self._search = forms if isinstance(forms, Few | Many) else search_for(forms)
        self._held = b""
        self._masked = 0  # how many bytes of _held belong to a place that was counted already
        self.count = 0
        self.spellings: set[str] = set()

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be said of the stream so far; the rest is held back."""
        data = self._held + chunk if self._held else chunk
        return self._release(data, self._search.undecided(data))

    def flush(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        if not self._held:
            return b""
        return self._release(self._held, len(self._held))

    def whole(self, data: bytes) -> bytes:
        """Return data that is complete in itself, before or after any stream."""
        if len(data) < self._search.shortest:
            return data
        return self._release(data, len(data))

    def _release(self, data: bytes, end: int) -> bytes:
        found, masked = sorted(self._search.occurrences(data)), self._masked
        if not (found or masked):
            self._held = data[end:]
            return data[:end]
        shown = bytearray(data[:end])
        _mask(shown, 0, masked)
        for start, stop, name in found:
            if start >= end:
                break
            self.spellings.add(name)
            if start >= masked:
                self.count += 1
            masked = max(masked, stop)
            _mask(shown, start, stop)
        self._held = data[end:]
        self._masked = max(0, masked - end)
        return bytes(shown)


class Mask:
    """The forms of some secrets, worked out once, for any number of answers; shows nothing."""

    __slots__ = ("_forms", "_search", "_together")

    def __init__(self, values: Iterable[bytes]) -> None:
        """`values` are the plain strings whose appearance would reveal a secret."""
        self._forms: dict[bytes, str] = {}
        self._search: Search | None = None
        self._together: tuple[Mask, Mask] | None = None
        for value in values:
            for form, name in spellings_of(value).items():
                self._forms.setdefault(form, name)

    @classmethod
    def of(cls, forms: Mapping[bytes, str]) -> "Mask":
        """Make a mask of forms, with the names of their codings, that were worked out before."""
        mask = cls(())
        mask._forms = dict(forms)
        return mask

    @classmethod
    def all(cls, masks: Iterable["Mask"]) -> "Mask":
        """Make one mask of many."""
        forms: dict[bytes, str] = {}
        for mask in masks:
            forms |= mask._forms
        return cls.of(forms)

    @property
    def forms(self) -> Mapping[bytes, str]:
        """The forms themselves, which reveal the secrets: for another process that scrubs."""
        return self._forms

    def __bool__(self) -> bool:
        return bool(self._forms)

    @property
    def longest(self) -> int:
        """The bytes of the longest form; 0 when there is none."""
        return max(map(len, self._forms), default=0)

    def with_values(self, values: Iterable[bytes]) -> "Mask":
        """This mask with further plain strings; itself, where it has them already."""
        more = [value for value in values if self._forms.get(value) != PLAIN]
        return self | Mask(more) if more else self

    def __or__(self, other: "Mask") -> "Mask":
        if self._together and self._together[0] is other:
            return self._together[1]
        subset = other._forms.keys() <= self._forms.keys()
        both = self if subset else Mask.of(other._forms | self._forms)
        self._together = other, both  # the same two meet at every call
        return both

    def __repr__(self) -> str:
        return f"Mask({len(self._forms)} forms)"

    def scrubber(self) -> Scrubber:
        """A new scrubber for one answer."""
        self._search = self._search or search_for(self._forms)
        return Scrubber(self._search)


def _mask(shown: bytearray, start: int, stop: int) -> None:
    stop = min(stop, len(shown))
    shown[start:stop] = b"*" * (stop - start)
