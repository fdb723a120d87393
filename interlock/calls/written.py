"""Estimates what a model wrote, for a stream that ends without saying what it used.

A token is at least a part of a delta or about four characters; whichever makes more holds.
"""

import json
from collections.abc import Iterator
from typing import Any

CHARACTERS_A_TOKEN = 4
# Longer events repeat what was written, or hold images; they count as one delta unread.
LONGEST_EVENT = 2**16
_LABELS = frozenset({"type", "role", "id", "name", "stop_reason", "finish_reason"})


class Written:
    """Counts the content of one stream, line by line, each once. Never raises, keeps nothing."""

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

    def add(self, line: bytearray) -> None:
        """Count one line of the stream; an error is no beginning of an answer."""
        if not line.startswith(b"data:"):
            return
        if len(line) > LONGEST_EVENT:
            self.begun, self._deltas = True, self._deltas + 1
            return
        try:
            event = json.loads(line.removeprefix(b"data:"))
        except (ValueError, RecursionError):
            return
        if isinstance(event, dict) and not event.get("error") and event.get("type") != "error":
            self.begun = True
            if written := sum(map(len, _contents(event))):
                self._deltas += 1
                self._characters += written


def _contents(event: dict[str, Any]) -> Iterator[str]:
    """Every text in the deltas of an event, of whatever API."""
    choices = event.get("choices")
    waiting: list[Any] = [event.get("delta")]
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            waiting += [choice.get("delta"), choice.get("text")]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as node:
                waiting += [value for key, value in node.items() if key not in _LABELS]
            case list() as nodes:
                waiting += nodes
