"""The events of the ledger in the order of their chains, a page at a time, archive included."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.ledger.archive import COLUMNS, Archive, Row, Seal
from interlock.ledger.export.destination import ExportError
from interlock.ledger.ledger import Ledger, event_of

PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive events of one node up to number `last`: of `passed` those that are wanted."""

    node: str
    last: int
    passed: int
    events: tuple[dict[str, Any], ...]


class Source:
    """What an export is asked for: events of some kinds (all, when empty) since a moment."""

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        kinds: frozenset[str] = frozenset(),
        since: float = 0.0,
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._kinds = kinds
        self._since = since
        self._unpacked: tuple[Seal, list[Row]] | None = None

    def pages(self, positions: Mapping[str, int]) -> Iterator[Page]:
        """Yield what follows the positions, up to the newest event there is now.

        Raises ExportError for events that are neither in the database nor in the archive, and
        StoreError or AttestationError for what cannot be read.
        """
        for node, head in self._ledger.heads().items():
            after = self._start(node, positions)
            if after > head.seq:
                raise ExportError(
                    f"node {node}: event {after} was exported, and the ledger ends at {head.seq}: "
                    "an older file was put back; go on under the name of another cursor"
                )
            while page := self._page(node, after):
                yield page
                after = page.last

    def left(self, positions: Mapping[str, int]) -> int:
        """How many events follow the positions, whatever their kind."""
        heads = self._ledger.heads()
        return sum(head.seq - self._start(node, positions) for node, head in heads.items())

    def _start(self, node: str, positions: Mapping[str, int]) -> int:
        """The number after which a node's events are wanted."""
        if node in positions or not self._since:
            return positions.get(node, 0)
        for seal in self._archive.seals(node):
            if seal.until >= self._since:
                return seal.first - 1
        return self._ledger.before(node, self._since)

    def _page(self, node: str, after: int) -> Page | None:
        events = self._ledger.after(node, after, PAGE)
        if events and events[0]["seq"] > after + 1:
            events = self._archived(node, after, events[0]["seq"] - 1)
        if not events:
            return None
        kept = tuple(event for event in events if self._wants(event))
        last = events[-1]["seq"]
        return Page(node, last, last - after, kept)

    def _archived(self, node: str, after: int, until: int) -> list[dict[str, Any]]:
        found = self._unpacked
        if found is None or not _holds(found[0], node, after + 1):
            seals = (seal for seal in self._archive.seals(node) if _holds(seal, node, after + 1))
            if (seal := next(seals, None)) is None:
                raise ExportError(
                    f"node {node}: events {after + 1} to {until} are not in the database, "
                    f"and not in {self._archive.folder}"
                )
            found = self._unpacked = (seal, list(self._archive.rows(seal)))
        seal, rows = found
        begin = after + 1 - seal.first
        page = rows[begin : begin + PAGE]
        if not page:
            raise ExportError(f"node {node}: event {after + 1} is not in {seal.file}")
        return [event_of(dict(zip(COLUMNS, row, strict=True))) for row in page]

    def _wants(self, event: Mapping[str, Any]) -> bool:
        return event["ts"] >= self._since and (not self._kinds or event["kind"] in self._kinds)


def _holds(seal: Seal, node: str, seq: int) -> bool:
    """Whether a file of the archive has an event."""
    return seal.node == node and seal.first <= seq <= seal.last
