"""Where an export goes: what every destination promises, and how a person names one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from interlock.errors import InterlockError
from interlock.ledger.export.format import Message

type Mark = Mapping[str, Any]


class ExportError(InterlockError):
    """A receiver did not take what it was sent, or it could not be reached; the message says who.

    `passing` is true for what may mend itself: trying again later makes sense.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class Destination(Protocol):
    """Takes messages and knows when they have arrived."""

    def begin(self, mark: Mark) -> Mark:
        """Get ready to go on from a mark, empty for none; answer the mark that holds now."""

    def send(self, messages: Sequence[Message]) -> Mark:
        """Deliver a batch; answer the mark behind it once it has arrived. Raises ExportError."""

    def close(self) -> None:
        """Let go of what is open."""
