"""What was pruned, asked as the ledger is: each file of the archive becomes a small database."""

import contextlib
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from operator import itemgetter

from interlock.ledger.archive import COLUMNS, Archive, Seal
from interlock.ledger.question import Question, Rows, ask

# What was written in this time after a moment may have been stamped before it, in seconds.
NEAR_S = 3600.0
_TABLE = f"create table events ({', '.join(COLUMNS)})"
_INSERT = f"insert into events values ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_PART = "select * from events where ? in (decision_id, id) order by seq"


class Past:
    """The archive, for whoever asks. Files have no index: each takes about a tenth of a second.

    Everything here raises AttestationError for a file that is not as it was sealed.
    """

    def __init__(self, archive: Archive, first: Callable[[str], int]) -> None:
        """`first` knows the number of a node's oldest event in the database, 0 for none.

        Files from there on are what a prune that was cut short left behind.
        """
        self._archive = archive
        self._first = first

    def ask(self, question: Question) -> Iterator[sqlite3.Row]:
        """Yield the decisions that fit, oldest first (`question.ask`)."""
        nodes = sorted(self._archive.nodes())
        yield from heapq.merge(*(self._asked(node, question) for node in nodes), key=moment)

    def of(self, reference: str, since: float) -> list[sqlite3.Row]:
        """Every event of one decision id, or with that id; it was made at `since` or later."""
        return [
            row
            for node in sorted(self._archive.nodes())
            for rows in self._files(node, since - NEAR_S, having=reference)
            for row in rows(_PART, reference)
        ]

    def files(self, since: float) -> Iterator[Rows]:
        """Answer for each file that has something since a moment."""
        for node in sorted(self._archive.nodes()):
            yield from self._files(node, since)

    def reaches(self, since: float) -> bool:
        """Say whether anything since a moment was pruned."""
        return any(any(self._seals(node, since)) for node in self._archive.nodes())

    def _asked(self, node: str, question: Question) -> Iterator[sqlite3.Row]:
        for rows in self._files(node, question.since):
            yield from ask(rows, question)

    def _files(self, node: str, since: float, having: str = "") -> Iterator[Rows]:
        for seal in self._seals(node, since):
            with contextlib.closing(sqlite3.connect(":memory:")) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute(_TABLE)
                connection.executemany(_INSERT, self._archive.rows(seal, having))
                yield lambda sql, *values, c=connection: c.execute(sql, values).fetchall()

    def _seals(self, node: str, since: float) -> Iterator[Seal]:
        first = self._first(node)
        for seal in self._archive.seals(node):
            if seal.until >= since and (seal.last < first or not first):
                yield seal


moment = itemgetter("ts")
