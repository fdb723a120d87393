"""The one way to write to the ledger and the ways to read it."""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from interlock.errors import LedgerUnavailableError, StoreError
from interlock.ledger.chain import Event, Verification, append, verify_chain
from interlock.store.database import Database
from interlock.store.spent import spend

# A decision waits this long for the disk before its call is refused.
DEADLINE_S = 5.0

# Called with the open transaction and each event in it.
type Tell = Callable[[sqlite3.Connection, Event], None]


class Ledger:
    """Appends events durably; what `decide` returned from is on disk."""

    def __init__(self, database: Database, actor: str = "", tell: Tell = lambda *_: None) -> None:
        self._database = database
        self._actor = actor
        self._tell = tell

    async def decide(
        self,
        events: Sequence[Event],
        *,
        token_id: str = "",
        expires_at: float = 0.0,
        also: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        """Write a decision's events, and spend the id of its token, in one durable transaction.

        `also` is done in the same transaction; an InterlockError that it raises undoes all and
        is raised from here. Raises LedgerUnavailableError when that fails or takes longer than
        the deadline. The rows may still become durable afterwards: a decision without a call
        does no harm, a call without a decision would.
        """

        def work(connection: sqlite3.Connection) -> None:
            also(connection)
            if token_id:
                spend(connection, token_id, expires_at, events[0].ts)
            self._append(connection, events)

        written = asyncio.wrap_future(self._database.submit(work))
        try:
            await asyncio.wait_for(written, DEADLINE_S)
        except (sqlite3.Error, ValueError, TimeoutError) as e:
            raise LedgerUnavailableError(
                f"the decision is not on disk: {str(e) or 'timed out'}"
            ) from e

    def note(
        self, event: Event, also: Callable[[sqlite3.Connection], None] = lambda _: None
    ) -> Future[None]:
        """Write an event that nobody waits for, in one transaction with `also`."""

        def work(connection: sqlite3.Connection) -> None:
            also(connection)
            self._append(connection, [event])

        return self._database.submit(work)

    def admin(
        self, connection: sqlite3.Connection, action: str, details: Mapping[str, Any]
    ) -> None:
        """Record an administrative change inside the transaction that makes it (`store.Audit`)."""
        body = {"action": action, "actor": self._actor, **details}
        self._append(connection, [Event(new_id("adm"), time.time(), "admin", body=body)])

    def tail(self, count: int) -> list[dict[str, Any]]:
        """The newest `count` events, oldest first."""
        rows = self._database.rows(
            "select * from (select * from events order by ts desc, seq desc limit ?) "
            "order by ts, seq",
            count,
        )
        return [_public(row) for row in rows]

    def after(self, node: str, seq: int) -> list[dict[str, Any]]:
        """The events of one node that follow `seq`, in the order of its chain."""
        rows = self._database.rows(
            "select * from events where node = ? and seq > ? order by seq", node, seq
        )
        return [_public(row) for row in rows]

    def of(self, reference: str) -> list[dict[str, Any]]:
        """Every event of one decision id, or the one event with that id, oldest first."""
        rows = self._database.rows(
            "select * from events where decision_id = ? or id = ? order by ts, seq",
            reference,
            reference,
        )
        return [_public(row) for row in rows]

    def query(
        self, *, agent: str = "", since: float = 0.0, decision: str = ""
    ) -> Iterator[dict[str, Any]]:
        """Decision rows, oldest first, by agent, time (epoch seconds) and label."""
        for row in self._database.rows(
            "select * from events where kind = 'decision' and ts >= ? "
            "and (? = '' or agent = ?) order by ts, seq",
            since,
            agent,
            agent,
        ):
            event = _public(row)
            if decision in ("", event["body"].get("effect"), event["body"].get("label")):
                yield event

    def verify(self) -> Verification:
        """Check the whole chain."""
        return self._database.read(verify_chain)

    def _append(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        for event in events:
            append(connection, self._database.node, event)
            self._tell(connection, event)


def new_id(prefix: str) -> str:
    """A new random id such as `dec_3f0c...`, 80 bits."""
    return f"{prefix}_{secrets.token_hex(10)}"


def _public(row: sqlite3.Row) -> dict[str, Any]:
    """A row as JSON values; raises StoreError for one that we did not write."""
    event = dict(row)
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
