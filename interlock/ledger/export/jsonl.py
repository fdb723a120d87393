"""JSON Lines: every event whole, with its place in the chain and its hashes."""

import json
from collections.abc import Iterator, Sequence

from interlock.ledger.export.format import Event, Message, message


class JsonLines:
    """One object a line, in ASCII, with the fields of the table `events`."""

    content_type = "application/x-ndjson"
    header = ""

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write each event as it is."""
        for event in events:
            yield message(event, json.dumps(event))
