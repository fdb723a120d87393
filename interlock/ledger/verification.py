"""Holds the ledger against its own hashes, against checkpoints, and against its own schema."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from interlock.ledger.archive import Archive, Row, Seal
from interlock.ledger.chain import GENESIS, row_hash
from interlock.ledger.checkpoint import Checkpoint
from interlock.ledger.keys import AttestationError
from interlock.ledger.trail import Trail
from interlock.store.migrations import guards_of, guards_wanted

_ROWS = (
    "select node, seq, id, ts, kind, agent, decision_id, body, prev, hash from events "
    "where node = ? and seq between ? and ? order by seq"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in epoch seconds, both ends included."""

    start: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows and checkpoints were read, and the first thing that is wrong."""

    events: int
    checkpoints: int = 0
    problem: str = ""

    @property
    def intact(self) -> bool:
        """True when nothing is wrong."""
        return not self.problem


class Tampered(Exception):
    """Something does not fit; the message names node and seq."""


def verify(
    connection: sqlite3.Connection,
    checkpoints: Iterable[Checkpoint] = (),
    span: Span | None = None,
    archive: Archive | None = None,
    trail: Trail | None = None,
) -> Verification:
    """Walk every chain, or a span of each, and stop at the first thing that does not fit.

    The chain alone shows a row that was changed, inserted, removed or moved; a checkpoint shows
    a tail that was cut off, a file that was put back, and a chain that was made anew. What was
    pruned is read from `archive`. `trail` is the ledger's own, which has to have every checkpoint
    that the ledger tells of, but for those before its first.
    """
    marks = _Marks()
    count = 0
    try:
        marks.read(checkpoints)
        archived = archive.nodes() if archive else ()
        for node in sorted({*nodes_of(connection), *marks.last, *archived}):
            for row in _walk(connection, node, marks, span or Span(), archive):
                count += 1
                marks.note(row)
        _require_guards(connection)
        if trail:
            marks.require_lines(trail)
    except (Tampered, AttestationError) as e:
        return Verification(count, marks.count, str(e))
    return Verification(count, marks.count)


class _Marks:
    """What checkpoints say: the hash that a row of a node has to have."""

    def __init__(self) -> None:
        self.count = 0
        self.last: dict[str, int] = {}
        self._hashes: dict[tuple[str, int], str] = {}
        self._told: list[tuple[str, str]] = []

    def read(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Take in what checkpoints say; raises Tampered when two of them contradict."""
        for checkpoint in checkpoints:
            self.count += 1
            for node, head in checkpoint.heads.items():
                known = self._hashes.setdefault((node, head.seq), head.hash)
                if known != head.hash:
                    raise Tampered(f"node {node} seq {head.seq}: two checkpoints contradict")
                self.last[node] = max(head.seq, self.last.get(node, 0))

    def require(self, node: str, seq: int, hash_: bytes) -> None:
        """Raise Tampered when a checkpoint saw another row in this place."""
        if self._hashes.get((node, seq), hash_.hex()) != hash_.hex():
            raise Tampered(f"node {node} seq {seq}: is not the row that a checkpoint saw")

    def note(self, row: Row) -> None:
        """Remember the checkpoint that a row tells of, if it does."""
        if row[4] == "checkpoint":
            self._told.append((f"node {row[0]} seq {row[1]}", _digest_in(row[7])))

    def require_lines(self, trail: Trail) -> None:
        """Raise Tampered when a checkpoint that the ledger tells of is not in its trail.

        Old files may have been moved away, so what is older than the first line is not missed.
        Read after the rows: a checkpoint that is made meanwhile has its line before its row.
        """
        there = trail.digests()
        found = [(place, digest in there) for place, digest in self._told]
        first = next((number for number, (_, is_there) in enumerate(found) if is_there), 0)
        for place, is_there in found[first:]:
            if not is_there:
                raise Tampered(f"{place}: tells of a checkpoint that is not in {trail.folder}")

    def require_end(self, node: str, seq: int) -> None:
        """Raise Tampered when a checkpoint saw more rows than there are."""
        last = self.last.get(node, 0)
        if seq < last:
            raise Tampered(
                f"node {node} seq {last}: a checkpoint saw this row, the ledger ends at seq {seq}: "
                "its tail was cut off, or an older file was put back"
            )


def _digest_in(body: str) -> str:
    """The digest that a checkpoint's row tells; empty for a row that somebody else wrote."""
    try:
        said = json.loads(body)
    except (ValueError, TypeError):
        return ""
    return str(said.get("digest", "")) if isinstance(said, dict) else ""


def nodes_of(connection: sqlite3.Connection) -> list[str]:
    """Every node that has written, found in the index without walking through all its rows."""
    rows = connection.execute(
        "with recursive known (node) as (select min(node) from events union all "
        "select (select min(node) from events where node > known.node) from known "
        "where node is not null) select node from known where node is not null"
    )
    return [row[0] for row in rows]


def _walk(
    connection: sqlite3.Connection, node: str, marks: _Marks, span: Span, archive: Archive | None
) -> Iterator[Row]:
    """Yield the rows of one chain that fit; raise Tampered at the first that does not."""
    seq, prev = 0, GENESIS
    for seal in _seals(connection, node, archive):
        if (seal.first, seal.prev) != (seq + 1, prev.hex()):
            raise Tampered(f"node {node} seq {seq + 1}: is not in the archive before {seal.file}")
        if archive and span.start <= seal.until:
            for row in _fitting(archive.rows(seal), node, seq, prev, marks):
                seq, prev = row[1], bytes(row[9])
                yield row
            if (seq, prev.hex()) != (seal.last, seal.hash):
                raise Tampered(f"node {node} seq {seq + 1}: is not in {seal.file}")
        seq, prev = seal.last, bytes.fromhex(seal.hash)
    first, last, end = _bounds(connection, node, span)
    begin = _begin(connection, node) or 0
    if archive and seq + 1 < begin and first <= begin <= last:
        missing = f"the row after seq {seq} is missing, also from {archive.folder}"
        raise Tampered(f"node {node} seq {begin}: {missing}")
    if first > seq + 1:
        seq, prev = _before(connection, node, first)
    for row in _fitting(connection.execute(_ROWS, [node, first, last]), node, seq, prev, marks):
        seq = row[1]
        yield row
    if last >= end:
        marks.require_end(node, seq)


def _seals(connection: sqlite3.Connection, node: str, archive: Archive | None) -> list[Seal]:
    """What was archived; not what a prune that was cut short archived and did not remove."""
    begin = _begin(connection, node)
    seals = archive.seals(node) if archive else []
    return [seal for seal in seals if begin is None or seal.last < begin]


def _begin(connection: sqlite3.Connection, node: str) -> int | None:
    """The first number of a node that is in the database; None when it has no row there."""
    (seq,) = connection.execute("select min(seq) from events where node = ?", [node]).fetchone()
    return seq if seq is None else int(seq)


def _fitting(rows: Iterable[Row], node: str, seq: int, prev: bytes, marks: _Marks) -> Iterator[Row]:
    for row in rows:
        place = f"node {node} seq {row[1]}"
        if row[1] != seq + 1:
            raise Tampered(f"{place}: the row after seq {seq} is missing")
        if row[8] != prev:
            raise Tampered(f"{place}: does not continue the row before it")
        if row[9] != _hash_of(prev, tuple(row)[:8]):
            raise Tampered(f"{place}: the content was changed")
        seq, prev = row[1], bytes(row[9])
        marks.require(node, seq, prev)
        yield row


def _bounds(connection: sqlite3.Connection, node: str, span: Span) -> tuple[int, int, int]:
    """The first and last number of a node within a span, and the last that it has."""
    if span == Span():
        (end,) = connection.execute("select max(seq) from events where node = ?", [node]).fetchone()
        return 1, end or 0, end or 0
    first, last = connection.execute(
        "select min(seq), max(seq) from events where node = ? and ts between ? and ?",
        [node, span.start, span.end],
    ).fetchone()
    (end,) = connection.execute("select max(seq) from events where node = ?", [node]).fetchone()
    return first or 1, last or 0, end or 0


def _before(connection: sqlite3.Connection, node: str, first: int) -> tuple[int, bytes]:
    """The number and hash of the row that a walk beginning at `first` has to continue."""
    row = connection.execute(
        "select hash from events where node = ? and seq = ?", [node, first - 1]
    ).fetchone()
    if row is None:
        raise Tampered(f"node {node} seq {first - 1}: the row is missing")
    return first - 1, bytes(row[0])


def _hash_of(prev: bytes, row: Iterable[Any]) -> bytes | None:
    """The hash that a stored row should have; None when it holds what we never write."""
    try:
        return row_hash(prev, row)
    except (TypeError, ValueError):
        return None


def _require_guards(connection: sqlite3.Connection) -> None:
    """Raise Tampered when a trigger or view of ours is missing or was changed, or one is not ours.

    A trigger could swallow rows before they are written, and a view in the place of the table
    hide them. Other views are everybody's to make.
    """
    there, wanted = guards_of(connection), guards_wanted()
    for name, definition in wanted.items():
        if there.get(name) != definition:
            what = "was changed" if name in there else "is missing"
            raise Tampered(f"the {name} of the database {what}")
    for name in there.keys() - wanted.keys():
        if name.startswith("trigger ") or name == "view events":
            raise Tampered(f"the {name} of the database is not ours")
