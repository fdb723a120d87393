"""Exports onto standard output."""

from collections.abc import Sequence
from typing import TextIO

from interlock.ledger.export.destination import ExportError, Mark
from interlock.ledger.export.format import Message


class Screen:
    """Writes lines to a stream; they have arrived once the system took them."""

    def __init__(self, stream: TextIO, header: str) -> None:
        self._stream = stream
        self._header = header

    def begin(self, mark: Mark) -> Mark:
        """There is nothing to go on with."""
        return mark

    def send(self, messages: Sequence[Message]) -> Mark:
        """Write and flush; the header stands before the first line."""
        lines = [self._header] if self._header else []
        try:
            for line in [*lines, *(message.text for message in messages)]:
                self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError as e:
            raise ExportError(f"standard output: {e.strerror}") from None
        self._header = ""
        return {}

    def close(self) -> None:
        """The stream is not ours to close."""
