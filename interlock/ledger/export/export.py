"""Sends the ledger page by page, and remembers what was acknowledged before it goes on."""

from collections.abc import Iterator
from dataclasses import dataclass

from interlock.ledger.export.cursor import Cursor
from interlock.ledger.export.destination import Destination
from interlock.ledger.export.format import Format
from interlock.ledger.export.source import Source


@dataclass(frozen=True, slots=True)
class Export:
    """Events from a source, in a format, to a destination, from where a cursor stands.

    Killed at any moment and started again, it repeats at most the one page that was not
    acknowledged yet, and leaves nothing out.
    """

    source: Source
    format: Format
    destination: Destination
    cursor: Cursor

    def run(self) -> Iterator[tuple[int, int]]:
        """Send what there is; yield for each page how many events it passed, and how many it sent.

        Raises ExportError, StoreError or AttestationError; what was acknowledged stays so.
        """
        self.cursor.advance({}, self.destination.begin(self.cursor.mark))
        for page in self.source.pages(self.cursor.positions):
            mark = self.cursor.mark
            if page.events:
                mark = self.destination.send(list(self.format.messages(page.events)))
            self.cursor.advance({page.node: page.last}, mark)
            yield page.passed, len(page.events)
