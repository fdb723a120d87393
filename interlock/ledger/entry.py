"""What is written in one go, and the pen that writes it into the chain of one node."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context

from interlock.ledger.chain import Event, append
from interlock.ledger.gap import Gap, Missing
from interlock.ledger.unsaid import Unsaid
from interlock.store.job import Job, Wake
from interlock.store.spent import spend

# What is done in the transaction of an event.
type Also = Callable[[sqlite3.Connection], None]
# Called with the open transaction and each event in it.
type Tell = Callable[[sqlite3.Connection, Event], None]


class Pen:
    """Writes entries, and knows which it could not write."""

    def __init__(self, node: str, tell: Tell, gap: Gap, unsaid: Unsaid) -> None:
        self.gap = gap
        self.unsaid = unsaid
        self._node = node
        self._tell = tell

    def write(self, connection: sqlite3.Connection, entries: Sequence["Entry"]) -> None:
        """Write entries together (`store.Scribe`), and the first of them tells of a gap.

        Raises ValueError for a token that was spent before, and whatever `append` raises.
        """
        if spent := [(token, entry.expires_at) for entry in entries for token in entry.tokens]:
            spend(connection, spent, time.time())
        self.append(connection, [event for entry in entries for event in entry.events])
        first = entries[0]
        if missing := first.telling or self.gap.take():
            first.telling = missing
            self.append(connection, [self.gap.event(missing)])

    def append(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        """Write events, and the news of them; raises as `chain.append` does."""
        append(connection, self._node, *events)
        for event in events:
            self._tell(connection, event)


class Entry(Job):
    """Events, the tokens that are spent with them, and what is also done, before them.

    `telling` is the gap of which it tells, until that is on disk.
    """

    __slots__ = ("also", "events", "expires_at", "pen", "telling", "tokens")

    def __init__(
        self,
        pen: Pen,
        events: Sequence[Event],
        tokens: Sequence[str] = (),
        expires_at: float = 0.0,
        also: Also | None = None,
    ) -> None:
        super().__init__(None if also else pen)
        self.pen = pen
        self.events = events
        self.tokens = tokens
        self.expires_at = expires_at
        self.also = _on_behalf(also) if also else None
        self.telling: Missing | None = None

    def work(self, connection: sqlite3.Connection) -> None:
        if self.also:
            self.also(connection)
        self.pen.write(connection, [self])

    def over(self) -> Wake | None:
        if isinstance(self.error, sqlite3.Error):
            self.pen.gap.missed(self.telling)
        return None


class Note(Entry):
    """What nobody waits for: one event, or none; it is written later when the disk took nothing."""

    __slots__ = ()

    def over(self) -> None:
        super().over()
        if isinstance(self.error, sqlite3.Error):
            self.pen.unsaid.keep((event, self.also) for event in self.events)


def _on_behalf(also: Also) -> Also:
    """What is done later, in another thread, as whoever asks for it now (`ledger.act_as`)."""
    context = copy_context()
    return lambda connection: context.run(also, connection)
