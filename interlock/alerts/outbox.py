"""The news that waits to be posted, written in the transaction of the event that it tells."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from interlock.ledger import Event
from interlock.ledger.chain import canonical
from interlock.ledger.ledger import new_id
from interlock.store import Audit, Database
from interlock.store.writer import Transaction

TABLE = "webhooks"

# How many wait for one webhook; beyond it the oldest are dropped, and the ledger says how many.
MOST_WAITING = 10_000
# How long a settled row can be looked at.
KEEP_S = 24 * 3600.0


class State(StrEnum):
    """How a row of the outbox stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One piece of news for one webhook. Times are epoch seconds."""

    seq: int
    webhook: str
    event: str
    subject: str
    body: str
    created_at: float
    state: State
    attempts: int
    due_at: float
    answer: str
    settled_at: float | None


def subject_of(event: Event) -> str:
    """What a webhook would have to listen to, to hear of this event; empty for nothing."""
    match event.kind:
        case "secret_access" | "mode_change" | "alert" | "checkpoint":
            return event.kind
        case "decision":
            return "denial" if event.body.get("effect") == "deny" else ""
        case "admin":
            return _change(event.body)
    return ""


def _change(body: dict[str, Any]) -> str:
    if body.get("action") == "mode.set":
        return "mode_change"
    cut_off = body.get("action") == "agent.trust" and body.get("after") in _CUT_OFF
    return "quarantine" if cut_off else ""


_CUT_OFF = ("quarantined", "revoked")


def tell(connection: sqlite3.Connection, event: Event) -> None:
    """Put an event into the outbox of every webhook that listens to it (`ledger.Tell`)."""
    subject = subject_of(event)
    if not subject:
        return
    for row in _webhooks(connection):
        if subject in json.loads(row["subjects"]):
            connection.execute(
                "insert into outbox (webhook, event, subject, body, created_at, state, attempts, "
                "due_at, answer) values (?, ?, ?, ?, ?, 'waiting', 0, ?, '')",
                [row["name"], event.id, subject, news(subject, event), event.ts, event.ts],
            )


def _webhooks(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """Who listens to what; within one transaction it is read once."""
    kept = connection.kept if isinstance(connection, Transaction) else {}
    if TABLE not in kept:
        kept[TABLE] = connection.execute("select name, subjects from webhooks").fetchall()
    found: list[sqlite3.Row] = kept[TABLE]
    return found


def relist(connection: sqlite3.Connection) -> None:
    """Have webhooks that were changed in this transaction be read again."""
    if isinstance(connection, Transaction):
        connection.kept.pop(TABLE, None)


def news(subject: str, event: Event) -> str:
    """What is posted about an event: its row in the ledger, which never holds a secret."""
    return canonical(
        {
            "id": event.id,
            "type": subject,
            "kind": event.kind,
            "ts": event.ts,
            "agent": event.agent or event.body.get("agent", ""),
            "decision_id": event.decision_id,
            "data": event.body,
        }
    )


class Outbox:
    """Hands out what is due and takes down what became of it."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def next(self, webhook: str) -> Delivery | None:
        """The oldest that waits for a webhook: nothing overtakes it."""
        row = self._database.one(
            "select * from outbox where webhook = ? and state = 'waiting' order by seq limit 1",
            webhook,
        )
        return _delivery(row) if row else None

    def delivered(self, seq: int, answer: str, now: float) -> Callable[[sqlite3.Connection], None]:
        """The work that takes down a delivery."""
        return lambda c: _settle(c, seq, State.DELIVERED, answer, now)

    def failed(self, seq: int, answer: str, due_at: float) -> Callable[[sqlite3.Connection], None]:
        """The work that takes down a failure, and when to try again."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "update outbox set attempts = attempts + 1, answer = ?, due_at = ? where seq = ?",
                [answer, due_at, seq],
            )

        return work

    def given_up(
        self, delivery: Delivery, answer: str, now: float
    ) -> Callable[[sqlite3.Connection], None]:
        """The work that ends the attempts at one piece of news; the ledger says so."""

        def work(connection: sqlite3.Connection) -> None:
            _settle(connection, delivery.seq, State.GIVEN_UP, answer, now)
            details = {"webhook": delivery.webhook, "event": delivery.event, "answer": answer}
            self._audit(connection, "webhook.give_up", details)

        return work

    def sweep(self, now: float) -> Callable[[sqlite3.Connection], None]:
        """The work that keeps the outbox small: old settled rows go, and waiting ones past MOST."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "delete from outbox where state != 'waiting' and settled_at < ?", [now - KEEP_S]
            )
            for row in connection.execute("select name from webhooks").fetchall():
                dropped = _drop_oldest(connection, row["name"])
                if dropped:
                    details = {"webhook": row["name"], "count": dropped}
                    self._audit(connection, "webhook.drop", details)

        return work


def newest(database: Database, limit: int) -> list[Delivery]:
    """The newest of the outbox, oldest first, for those who only look; raises StoreError."""
    rows = database.rows(
        "select * from (select * from outbox order by seq desc limit ?) order by seq", limit
    )
    return [_delivery(row) for row in rows]


def trial(now: float) -> Event:
    """An event that happened nowhere, to try a webhook with."""
    return Event(new_id("evt"), now, "test", body={"message": "a test of this webhook"})


def _drop_oldest(connection: sqlite3.Connection, webhook: str) -> int:
    return connection.execute(
        "delete from outbox where webhook = :webhook and state = 'waiting' and seq <= "
        "(select seq from outbox where webhook = :webhook and state = 'waiting' "
        "order by seq desc limit 1 offset :most)",
        {"webhook": webhook, "most": MOST_WAITING},
    ).rowcount


def _settle(
    connection: sqlite3.Connection, seq: int, state: State, answer: str, now: float
) -> None:
    connection.execute(
        "update outbox set state = ?, attempts = attempts + 1, answer = ?, settled_at = ? "
        "where seq = ?",
        [state, answer, now, seq],
    )


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(**dict(row) | {"state": State(row["state"])})
