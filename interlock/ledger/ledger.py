"""The one way to write to the ledger and the ways to read it."""

import asyncio
import heapq
import itertools
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from interlock.errors import StoreError
from interlock.ledger.archive import COLUMNS, Archive
from interlock.ledger.chain import Event
from interlock.ledger.checkpoint import Checkpoint, Head
from interlock.ledger.courier import Courier, Decision
from interlock.ledger.entry import Also, Note, Pen, Tell
from interlock.ledger.gap import Gap
from interlock.ledger.past import Past, moment
from interlock.ledger.question import Question, ask
from interlock.ledger.statistics import Statistics, count
from interlock.ledger.trail import Trail
from interlock.ledger.unsaid import Unsaid, is_written
from interlock.ledger.verification import Span, Verification, nodes_of, verify
from interlock.store.database import Database

ANYTHING = Question()
_acting: ContextVar[str] = ContextVar("acting", default="")
# A decision waits this long for the disk before its call is refused.
DEADLINE_S = 5.0
# An event and its id are made at the same moment, but for what lies between two lines of code; a
# busy machine, or a clock that is set there, may put more between them.
NEAR_S = (5.0, 3600.0)
_STAMPED = re.compile("[0-9a-f]{32}")


class Ledger:
    """Appends events durably; what `decide` returned from is on disk."""

    def __init__(
        self,
        database: Database,
        actor: str = "",
        tell: Tell = lambda *_: None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._database = database
        self._deadline_s = deadline_s
        self._actor = actor
        self._unsaid = Unsaid()
        self._pen = Pen(database.node, tell, Gap(new_id), self._unsaid)
        self._carrier: Courier | None = None

    async def decide(
        self,
        events: Sequence[Event],
        *,
        tokens: Sequence[str] = (),
        expires_at: float = 0.0,
        also: Also | None = None,
    ) -> None:
        """Write a decision's events, and spend the ids of its tokens, in one durable transaction.

        `also` is done in the same transaction; an InterlockError that it raises undoes all and
        is raised from here. Raises LedgerUnavailableError when that fails or takes longer than
        the deadline. The rows may still become durable afterwards: a decision without a call
        does no harm, a call without a decision would.
        """
        entered = await self.enter(events, tokens=tokens, expires_at=expires_at, also=also)
        await entered.answer()

    async def enter(
        self,
        events: Sequence[Event],
        *,
        tokens: Sequence[str] = (),
        expires_at: float = 0.0,
        also: Also | None = None,
    ) -> Decision:
        """The same, but wait no longer than until the transaction has all of it.

        The disk alone may refuse it then. Whether it did, the `answer` of what this returns tells.
        """
        courier = self._courier()
        decision = Decision(courier, self._pen, events, tokens, expires_at, also)
        courier.carry(decision)
        await decision.answer()
        return decision

    def note(self, event: Event, also: Also | None = None) -> None:
        """Write an event that nobody waits for, in one transaction with `also`.

        It is on disk with the next decision, or some hundredths of a second later; what the disk
        did not take, `say_again` writes.
        """
        self._database.hand_over([Note(self._pen, [event], also=also)], patient=True)

    def say_again(self) -> int:
        """Write what was noted and not taken; return how much that was. Raises StoreError."""
        if not (notes := self._unsaid.take()):
            return 0

        def work(connection: sqlite3.Connection) -> None:
            for event, also in notes:
                if not is_written(connection, event):
                    if also:
                        also(connection)
                    self.append(connection, [event])

        try:
            self.change(work)
        except StoreError:
            self._unsaid.keep(notes)
            raise
        return len(notes)

    def submit(self, work: Also) -> None:
        """Run `work` in a transaction that nobody waits for."""
        self._database.hand_over([Note(self._pen, (), also=work)], patient=True)

    def admin(
        self, connection: sqlite3.Connection, action: str, details: Mapping[str, Any]
    ) -> None:
        """Record an administrative change inside the transaction that makes it (`store.Audit`)."""
        body = {"action": action, "actor": _acting.get() or self._actor, **details}
        self.append(connection, [Event(new_id("adm"), time.time(), "admin", body=body)])

    def tail(self, count: int) -> list[dict[str, Any]]:
        """The newest `count` events in the order in which they were written, whatever the clock."""
        rows = self._database.rows(
            "select * from (select rowid as place, * from events order by rowid desc limit ?) "
            "order by place",
            count,
        )
        return [event_of(row) for row in rows]

    def after(self, node: str, seq: int, most: int = -1) -> list[dict[str, Any]]:
        """The events of one node that follow `seq`, in the order of its chain; -1: all of them."""
        rows = self._database.rows(
            "select * from events where node = ? and seq > ? order by seq limit ?", node, seq, most
        )
        return [event_of(row) for row in rows]

    def of(self, reference: str, past: Past | None = None) -> list[dict[str, Any]]:
        """Every event of one decision id, or the one event with that id, oldest first.

        What was pruned of them is looked for in `past`. Raises StoreError or AttestationError.
        """
        rows = self._database.rows(
            "select * from events where decision_id = ? order by ts, seq", reference
        )
        rows = rows or self._near(reference)
        if past and not _is_whole(rows):
            rows = past.of(reference, moment_of(reference)) + rows
        return [event_of(row) for row in rows]

    def _near(self, id_: str) -> list[Any]:
        """The event with an id, found by the moment that the id tells: ids have no index.

        Each event would pay for one. An id that tells no moment is none of ours.
        """
        sql = "select * from events where ts between ? and ? and id = ?"
        moment = moment_of(id_)
        for near in NEAR_S if moment else ():
            if rows := self._database.rows(sql, moment - near, moment + near, id_):
                return rows
        return []

    def query(
        self, question: Question = ANYTHING, past: Past | None = None
    ) -> Iterator[dict[str, Any]]:
        """The decisions that a question asks for, oldest first, those of `past` among them.

        Raises StoreError or AttestationError.
        """
        streams = [past.ask(question)] if past else []
        streams.append(ask(self._database.rows, question))
        return map(event_of, heapq.merge(*streams, key=moment))

    def statistics(self, since: float, until: float, past: Past | None = None) -> Statistics:
        """The ledger, and `past`, between two moments in figures; raises as `query` does."""
        files = past.files(since) if past else ()
        return count(itertools.chain(files, [self._database.rows]), since, until)

    def newest(self) -> tuple[int, str]:
        """Number and kind of the newest event of this node; 0 and nothing when there is none."""
        row = self._database.one(
            "select seq, kind from events where node = ? order by seq desc limit 1",
            self._database.node,
        )
        return (row["seq"], row["kind"]) if row else (0, "")

    def heads(self) -> dict[str, Head]:
        """Where the chain of each node ends."""
        last = "select seq, hash from events where node = ? order by seq desc limit 1"
        rows = [(node, self._database.one(last, node)) for node in self.nodes()]
        return {node: Head(row["seq"], row["hash"].hex()) for node, row in rows}

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Answer a query of this room; raises StoreError."""
        return self._database.rows(sql, *values)

    def nodes(self) -> list[str]:
        """Every node that has written here; raises StoreError."""
        return self._database.read(nodes_of)

    def first(self, node: str) -> int:
        """The number of a node's oldest event here, 0 for none; raises StoreError."""
        return int(self._database.one("select min(seq) from events where node = ?", node)[0] or 0)

    def past(self, archive: Archive) -> Past:
        """What was pruned into an archive, for the questions that take it along."""
        return Past(archive, self.first)

    def before(self, node: str, ts: float) -> int:
        """The number of a node's event before its first at or after `ts`; raises StoreError."""
        row = self._database.one(
            "select coalesce((select min(seq) - 1 from events where node = ? and ts >= ?), "
            "(select max(seq) from events where node = ?))",
            *(node, ts, node),
        )
        return int(row[0] or 0)

    def aside[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a long read on a connection of its own; raises StoreError."""
        return self._database.aside(work)

    def change[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a durable transaction and wait for it; raises StoreError."""
        return self._database.write(work)

    def flush(self) -> None:
        """Wait until everything that was handed over is on disk; raises StoreError."""
        self._database.write(lambda _: None)

    def verify(
        self,
        checkpoints: Iterable[Checkpoint] = (),
        span: Span | None = None,
        archive: Archive | None = None,
        trail: Trail | None = None,
    ) -> Verification:
        """Check every chain, or a span of each, against its hashes and against checkpoints.

        A chain that does not begin in the database begins in `archive`; `trail` is the one that
        this ledger itself writes.
        """
        return self._database.read(lambda c: verify(c, checkpoints, span, archive, trail))

    def _courier(self) -> Courier:
        """The courier of the running loop."""
        loop = asyncio.get_running_loop()
        if self._carrier is None or self._carrier.loop is not loop:
            self._carrier = Courier(loop, self._database, self._deadline_s)
        return self._carrier

    def append(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        """Write events in the caller's write transaction."""
        self._pen.append(connection, events)


def act_as(actor: str) -> None:
    """Record what this task or thread changes from now on as done by `actor` (`token:ops`)."""
    _acting.set(actor)


def new_id(prefix: str) -> str:
    """A new id such as `dec_019ab3...`: milliseconds, so that ids sort by time, and 80 random bits.

    In order, they go to the end of an index; at random, each would cost a page of its own
    (RFC 9562, 6.2, has the idea).
    """
    try:
        random = _unused.pop()
    except IndexError:
        random = _drawn()
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random}"


def _drawn() -> str:
    """Eighty random bits, which the system is asked for by the hundred; a fork has its own."""
    many = os.urandom(10 * 256).hex()
    _unused.extend([many[at : at + 20] for at in range(20, len(many), 20)])
    return many[:20]


_unused: list[str] = []
os.register_at_fork(after_in_child=_unused.clear)


def moment_of(id_: str) -> float:
    """When `new_id` made an id, in epoch seconds; 0 for what it did not make."""
    stamp = id_.rpartition("_")[2]
    return int(stamp[:12], 16) / 1000 if _STAMPED.fullmatch(stamp) else 0.0


def _is_whole(rows: Sequence[sqlite3.Row]) -> bool:
    """Whether these are all events of a call, or one that belongs to none."""
    return any(row["kind"] == "decision" or not row["decision_id"] for row in rows)


def event_of(row: sqlite3.Row | Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON values; raises StoreError for one that we did not write."""
    event = {name: row[name] for name in COLUMNS}
    try:
        body = json.loads(event["body"])
        hashes = {"prev": event["prev"].hex(), "hash": event["hash"].hex()}
        if not isinstance(body, dict):
            raise TypeError("the body is not an object")
    except (ValueError, TypeError, AttributeError) as e:
        place = f"node {event['node']} seq {event['seq']}"
        raise StoreError(
            f"{place}: the row was changed and cannot be read: run `interlock audit verify`"
        ) from e
    return event | {"body": body} | hashes
