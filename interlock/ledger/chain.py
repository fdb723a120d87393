"""The hash chain: each row covers its own content and the hash of the row before it.

`hash = SHA-256(0x00 || prev || canonical row)`. The leading zero separates rows from the other
things that are hashed and signed around the ledger (RFC 6962, section 2.1, has the idea).
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from json.encoder import c_make_encoder  # type: ignore[attr-defined]
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from broker.quick import quick
from interlock.store.rows import insert
from interlock.store.writer import Transaction

GENESIS = bytes(32)
_TYPES = (str, float, str, str, str)  # id, ts, kind, agent, decision_id


@quick
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `ts` is in seconds since the epoch; `body` holds JSON values."""

    id: str
    ts: float
    kind: str
    agent: str = ""
    decision_id: str = ""
    body: dict[str, Any] = field(default_factory=dict)


def canonical(value: Any) -> str:
    """Write JSON in the one form that is hashed: sorted keys, no spaces, ASCII only."""
    return "".join(_pieces_of(value, 0))


# What `json.JSONEncoder` makes anew for each value: no indent, these separators, and sorted keys;
# None for the marks by which it would find a value within itself.
_pieces_of = c_make_encoder(
    None, json.JSONEncoder().default, _quote, None, ":", ",", True, False, True
)


def row_hash(prev: bytes, row: Iterable[Any]) -> bytes:
    """Hash one row (node, seq, id, ts, kind, agent, decision_id, body) onto its predecessor."""
    return _linked(prev, canonical(list(row)))


def _linked(prev: bytes, text: str) -> bytes:
    return hashlib.sha256(b"\x00" + prev + text.encode()).digest()


def _text(*row: Any) -> str:
    """What `canonical` makes of a row whose columns have the types that they should have."""
    node, seq, id_, ts, kind, agent, decision_id, body = row
    moment = repr(ts) if math.isfinite(ts) else canonical(ts)
    return (
        f"[{_quote(node)},{seq},{_quote(id_)},{moment},{_quote(kind)},{_quote(agent)},"
        f"{_quote(decision_id)},{_quote(body)}]"
    )


def append(connection: sqlite3.Connection, node: str, *events: Event) -> int:
    """Add events to the chain of `node` inside the caller's write transaction; return its end.

    The head is read under the write lock, so that all processes of a node share one chain. Raises
    TypeError for an event whose columns SQLite would keep as another type than was hashed, and
    sqlite3.OperationalError when something in the database swallowed it.
    """
    seq, prev = _head(connection, node)
    rows = []
    for event in events:
        seq += 1
        row = (
            node,
            seq,
            event.id,
            event.ts,
            event.kind,
            event.agent,
            event.decision_id,
            canonical(event.body),
        )
        if tuple(map(type, row[2:7])) != _TYPES:
            raise TypeError("an event has a column of another type")
        before, prev = prev, _linked(prev, _text(*row))
        rows.append((*row, before, prev))
    taken = insert(connection, "insert into events", rows)
    if taken != len(rows):  # a trigger of somebody's may say `raise(ignore)`
        raise sqlite3.OperationalError("the ledger took no row: run `interlock audit verify`")
    if isinstance(connection, Transaction):
        connection.kept[node] = (seq, prev)
    return seq


def _head(connection: sqlite3.Connection, node: str) -> tuple[int, bytes]:
    """Where the chain of a node ends; within one transaction it is read once."""
    kept = connection.kept.get(node) if isinstance(connection, Transaction) else None
    if kept:
        seq, prev = kept
        return int(seq), bytes(prev)
    head = connection.execute(
        "select seq, hash from events where node = ? order by seq desc limit 1", [node]
    ).fetchone()
    return (head[0], bytes(head[1])) if head else (0, GENESIS)
