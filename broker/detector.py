"""Find which of some secrets stands in a stream of bytes, in every form that scrubbing knows."""

from collections.abc import Iterable, Iterator, Mapping

from broker.forms import forms_of
from broker.secret import Secret

PIECE = 64 * 1024


class Detector:
    """The forms of named secrets, worked out once; shows nothing but the names.

    The time is linear in the stream, for each form; the memory is one piece of it and the
    longest form.
    """

    __slots__ = ("_forms", "_overlap")

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._forms = tuple(
            (name, form) for name, secret in secrets.items() for form in forms_of(secret.reveal())
        )
        self._overlap = max((len(form) - 1 for _, form in self._forms), default=0)

    def __bool__(self) -> bool:
        return bool(self._forms)

    @property
    def overlap(self) -> int:
        """How much of the stream so far a search of what comes next has to begin with."""
        return self._overlap

    def __repr__(self) -> str:
        return f"Detector({len(self._forms)} forms)"

    def find(self, pieces: Iterable[bytes]) -> str:
        """Answer the name of a secret that stands in the stream; empty when none does."""
        rest = b""
        for piece in pieces:
            data = rest + piece
            # One search per form is faster than any regular expression of them (see Scrubber).
            for name, form in self._forms:
                if form in data:
                    return name
            rest = data[max(0, len(data) - self._overlap) :]
        return ""


def cut(data: bytes) -> Iterator[bytes]:
    """Yield the pieces of a value, so that a search in another thread leaves room for the rest."""
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))
