"""Estimates what a model wrote, for a stream that ends without saying what it used.

A token is at least a part of a delta or about four characters; whichever makes more holds.
"""

from typing import Any

CHARACTERS_A_TOKEN = 4
# Longer events repeat what was written, or hold images; they count as one delta unread.
LONGEST_EVENT = 2**16
_LABELS = frozenset({"type", "role", "id", "name", "stop_reason", "finish_reason"})


class Written:
    """Counts the content of one stream, event by event, each once. Never raises, keeps nothing."""

    def __init__(self) -> None:
        self.begun = False
        self._deltas = 0
        self._characters = 0

    @property
    def tokens(self) -> int:
        """About how many tokens were written since the last time they were paid."""
        return max(self._deltas, -(-self._characters // CHARACTERS_A_TOKEN))

    def paid(self) -> None:
        """The stream itself said what was written so far."""
        self._deltas = self._characters = 0

    def add(self, event: Any) -> None:
        """Count one event of the stream; an error is no beginning of an answer."""
        if isinstance(event, dict) and not event.get("error") and event.get("type") != "error":
            self.begun = True
            if written := _characters(event):
                self._deltas += 1
                self._characters += written

    def add_unread(self) -> None:
        """Count one that is too long to be read."""
        self.begun = True
        self._deltas += 1


def _characters(event: dict[str, Any]) -> int:
    """The length of every text in the deltas of an event, of whatever API."""
    written = 0
    waiting: list[Any] = [event.get("delta")]
    choices = event.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                waiting += [choice.get("delta"), choice.get("text")]
    for node in waiting:  # it grows meanwhile
        kind = type(node)
        if kind is str:
            written += len(node)
        elif kind is dict:
            waiting += [value for key, value in node.items() if value and key not in _LABELS]
        elif kind is list:
            waiting += node
    return written
